"""launch.sh with a stand-in for Python that writes down what it is asked."""

import os
import pathlib
import subprocess

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

_STAND_IN = """#!/bin/sh
case "$*" in "-m pip --version") exit ;; esac
echo "$@" >> "{log}"
echo "${{GLIBC_TUNABLES:-none}}" > "{log}.memory"
case "$*" in
  *"{fails}"*) exit 7 ;;
esac
"""


@pytest.fixture
def launch(tmp_path):
    """Run launch.sh in an environment whose Python records its arguments."""
    venv, log = tmp_path / "venv", tmp_path / "log"
    (venv / "bin").mkdir(parents=True)

    def run(*arguments, fails="nothing fails", cwd=None, **environment):
        python = venv / "bin" / "python"
        python.write_text(_STAND_IN.format(log=log, fails=fails))
        python.chmod(0o755)
        log.write_text("")
        inherited = {k: v for k, v in os.environ.items() if k != "WITH_TORCH"}
        done = subprocess.run(
            [CHECKOUT / "launch.sh", *arguments],
            env=inherited | {"VENV": str(venv)} | environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, log.read_text().splitlines()

    return run


def test_help_names_every_command(launch):
    done, calls = launch("help")
    assert done.returncode == 0
    commands = ("quickstart", "test", "train", "evaluate", "reconstruct", "sample")
    release = ("release", "export", "pairs", "import_pair", "convert_weights")
    several = ("local", "slurm", "tpu", "install")
    for command in (*commands, *release, *several, "benchmark"):
        assert f"\n  {command} " in done.stdout
    assert calls == []


def test_commands_run_in_the_environment_which_is_installed_once(launch):
    done, calls = launch("train", "--workdir=a b")
    assert done.returncode == 0, done.stderr
    assert any("pip install" in call and "requirements.txt" in call for call in calls)
    assert calls[-1] == "-m experiments.train --workdir=a b"
    _, calls = launch("evaluate")
    assert calls == ["-m experiments.evaluate"]
    _, calls = launch("benchmark", "--suite=ops")
    assert calls == ["-m benchmarks --suite=ops"]
    _, calls = launch("export")
    assert calls == ["-m experiments.export"]


def test_tensorflow_and_onnx_are_installed_where_a_pair_goes_there(launch):
    def asked(*arguments):
        _, calls = launch(*arguments)
        assert calls[-1] == f"-m experiments.{' '.join(arguments)}"
        return any("requirements-export.txt" in call for call in calls)

    assert not asked("export", "--pair=onnx", "--format=stablehlo")
    assert not asked("convert_weights", "--output=f.h5")
    assert asked("export", "--pair=vgg19-block1", "--format=onnx")
    assert not asked("import_pair", "--decoder=d")  # it is there


def test_gcsfs_is_installed_where_an_argument_names_a_bucket(launch):
    _, calls = launch("train", "--workdir=gs", "--config.data.source=folder:gs")
    assert not any("requirements-gcs.txt" in call for call in calls)
    arguments = ("--workdir=w", "--config.data.source=zip:gs://bucket/p.zip")
    _, calls = launch("train", *arguments)
    assert any("requirements-gcs.txt" in call for call in calls)
    assert calls[-1] == f"-m experiments.train {' '.join(arguments)}"
    _, calls = launch("install", *arguments)
    assert not any("requirements-gcs.txt" in call for call in calls)  # it is there
    _, calls = launch("train", ACCELERATOR="cuda", VGG19_WEIGHTS="gs://b/w.h5")
    assert any("requirements-gcs.txt" in call for call in calls)


def test_a_signal_reaches_the_command(bench):
    # It takes the place of the shell: schedulers signal the process they started.
    bench.stand_in("python", 'echo "$$"', where=bench.folder / "venv" / "bin")
    process = bench.start("train")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert int(output.split()[-1]) == process.pid


def test_memory_is_kept_but_for_large_photos_and_accelerators(launch, tmp_path):
    def kept(*arguments, **environment):
        launch(*arguments, **{"GLIBC_TUNABLES": ""} | environment)
        return (tmp_path / "log.memory").read_text().strip()

    for tunable in ("mmap_max=0", "tcache_count=0", "mxfast=0"):
        assert f"glibc.malloc.{tunable}" in kept("train").split(":")
    for command in ("reconstruct", "stylize", "stylize_video", "edit"):
        assert kept(command) == "none"
    assert kept("train", ACCELERATOR="cuda") == "none"
    assert kept("train", GLIBC_TUNABLES="glibc.malloc.perturb=0").endswith("perturb=0")


def test_another_accelerator_installs_again(launch):
    launch("train")
    _, calls = launch("train", ACCELERATOR="cuda")
    assert any("jax[cuda]" in call for call in calls)
    done, calls = launch("train", ACCELERATOR="gpu")
    assert done.returncode == 2
    assert "cpu, cuda or tpu, got gpu" in done.stderr
    assert calls == []


def test_a_broken_installation_is_repeated(launch):
    done, _ = launch("train", fails="pip install")
    assert done.returncode == 7
    _, calls = launch("train")
    assert any("pip install" in call for call in calls)


@pytest.mark.parametrize("fails", ["ruff check", "ruff format", "pytest"])
def test_test_fails_when_any_part_fails_and_runs_all_parts(launch, fails):
    done, calls = launch("test", "-x", fails=fails)
    assert done.returncode == 7
    assert [call.split()[1] for call in calls[-3:]] == ["ruff", "ruff", "pytest"]
    assert calls[-1].startswith("-m pytest ") and calls[-1].endswith(" -x")


def test_test_succeeds_and_installs_torch_only_on_request(launch):
    done, calls = launch("test")
    assert done.returncode == 0
    assert not any("requirements-torch.txt" in call for call in calls)
    _, calls = launch("test", WITH_TORCH="1")
    assert any("requirements-torch.txt" in call for call in calls)


def test_quickstart_shows_the_releases_then_trains_then_evaluates(launch):
    done, calls = launch("quickstart", "--weights=w.h5", "--workdir=q")
    assert done.returncode == 0
    assert "--config.encoder.weights=w.h5" in calls[-2]
    assert "configs/vgg19_block1.py:quickstart" in calls[-2]
    assert calls[-1] == "-m experiments.evaluate --workdir=q"
    assert calls[-3].startswith("-m experiments.pairs page released")
    assert "--weights=w.h5" in calls[-3] and "--output=q/released" in calls[-3]
    done, _ = launch("quickstart", fails="experiments.train")
    assert done.returncode == 7
    done, _ = launch("quickstart", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


def test_an_unknown_command_is_named(launch):
    done, _ = launch("trian")
    assert done.returncode == 2
    assert "there is no command trian" in done.stderr
