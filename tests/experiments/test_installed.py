"""What `pip install .` installs, outside of the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, since setuptools leaves a folder `build` beside its sources.
    sources = folder / "sources"
    for name in ("vgg_unpool_jax", "experiments", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, sources / name, ignore=ignored)
    for pattern in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "require*"):
        for file in CHECKOUT.glob(pattern):
            shutil.copy(file, sources)
    options = ("--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, sources], check=True
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site-packages")
    return folder / "site-packages"


def _run(installed, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "vgg_unpool_jax", *map(str, arguments)],
        cwd=installed.parent,
        env=os.environ | {"PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_has_one_package_the_console_script_and_the_extras(installed):
    folders = {path.name for path in installed.iterdir()}
    (metadata,) = installed.glob("*.dist-info")
    assert folders == {"vgg_unpool_jax", metadata.name}
    scripts = (metadata / "entry_points.txt").read_text()
    assert "vgg-unpool-jax = vgg_unpool_jax.__main__:main" in scripts
    for extra in ("video", "export", "gcs", "studio"):
        assert f"Provides-Extra: {extra}\n" in (metadata / "METADATA").read_text()


def test_an_installed_command_finds_the_decoders_of_the_package(installed):
    done = _run(installed, "pairs", "list")
    assert done.returncode == 0, done.stderr
    assert "vgg19-block1" in done.stdout
    packaged = CHECKOUT / "vgg_unpool_jax" / "releases" / "packaged"
    copies = installed / "vgg_unpool_jax" / "releases" / "packaged"
    assert len(list(packaged.iterdir())) > 5
    for file in packaged.iterdir():
        assert (copies / file.name).read_bytes() == file.read_bytes()


@pytest.mark.extended
def test_an_installed_command_finds_configs_by_name_and_trains(installed):
    listed = _run(installed).stdout
    assert "\n  train " in listed and "\n  stylize " in listed
    done = _run(
        installed,
        "train",
        "--config=vgg19_block1:runlocal",
        "--workdir=run",
        "--config.num_steps=1",
        "--config.data.image_size=32",
        "--config.evaluation.image_size=32",
        "--config.loss.ms_ssim=0",
    )
    assert done.returncode == 0, done.stderr
    assert "step 1 of 1 in run" in done.stdout
    done = _run(installed, "train", "--config=configs/nothing.py", "--workdir=run")
    assert "configs/nothing.py is neither a file nor one of the configs" in done.stderr
