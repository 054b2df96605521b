"""The commands as a user runs them: one after the other, in processes of their own."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_command

CONFIG = "configs/vgg19_block2.py:runlocal"


def _photo(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    _photo(folder / "a.png", (61, 47), 1)
    _photo(folder / "sub" / "b.png", (40, 48), 2)
    _photo(folder / "twin.png", (32, 32), 3)
    _photo(folder / "twin.bmp", (32, 32), 4)
    for index in range(4):
        _photo(folder / f"large{index}.png", (64, 70), index)
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "w"
    done = run_command(
        "train",
        f"--config={CONFIG}",
        f"--workdir={workdir}",
        "--config.num_steps=2",
        "--config.loss.ms_ssim=0",
        "--config.data.image_size=32",
        "--config.evaluation.image_size=32",
    )
    assert done.returncode == 0, done.stderr
    assert "step 2 of 2" in done.stdout
    _assert_short(done.stderr)
    assert re.search(r"^step 2 of 2: loss ", done.stderr, re.M)  # the log's line
    return workdir


def _assert_short(log):
    """Lines of a log have no dates, process ids, file names or bars."""
    assert not re.search(r"\d\d:\d\d:\d\d|\w\.py\b|\b[IWEF]\d{4} |\r", log), log


def test_training_leaves_config_checkpoint_events_and_pictures(workdir):
    assert json.loads((workdir / "config.json").read_text())["num_steps"] == 2
    assert (workdir / "checkpoints" / "2").is_dir()
    assert list((workdir / "tensorboard").glob("events.out.tfevents.*"))
    with Image.open(workdir / "pictures" / "validation_00000002.png") as grid:
        assert grid.width > 3 * 32


def test_evaluate_writes_a_table_results_and_a_picture(workdir, photos):
    done = run_command(
        "evaluate",
        f"--workdir={workdir}",
        f"--source=folder:{photos}",
        "--image_size=64",
    )
    assert done.returncode == 0, done.stderr
    _assert_short(done.stderr)
    for name in ("L1", "L2", "PSNR", "SSIM"):
        assert name in done.stdout
    assert "MS-SSIM is left out" in done.stdout
    # Four photos are 64 or larger; the others are named.
    for name in ("a.png (61×47)", "sub/b.png (40×48)", "twin.bmp (32×32)"):
        assert f"too small for the crop: {name}" in done.stdout
    results = json.loads((workdir / "results.json").read_text())
    assert results["metrics"]["l1"]["photos"] == 4
    assert results["metrics"]["l1"]["interval"] is None
    assert "too few photos" in done.stdout
    assert len(results["too_small"]) == 4
    assert results["vgg19_weights"]["origin"].startswith("random")
    assert results["training_steps"] == 2
    assert results["provenance"]["config"]["encoder"]["block"] == 2
    with Image.open(workdir / "pictures" / "evaluation.png") as grid:
        assert grid.height > 3 * 64 and grid.width > 4 * 64
    assert len(results["photos"]) == 4


@pytest.mark.extended
def test_evaluate_compares_two_models_photo_by_photo(workdir, photos, tmp_path):
    evaluate = ["evaluate", f"--workdir={workdir}", "--image_size=64"]
    first, source = tmp_path / "first.json", f"--source=folder:{photos}"
    assert run_command(*evaluate, source, f"--output={first}").returncode == 0
    second = f"--output={tmp_path / 'second.json'}"
    done = run_command(*evaluate, source, second, f"--against={first}")
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("photo by photo:")[2]
    assert re.search(r"^L1 .* -?0\.000 +too few photos +4$", table, re.M)
    refused = run_command(*evaluate, "--source=samples", second, f"--against={first}")
    assert refused.returncode == 1 and "has no photo of sample" in refused.stderr
    first.write_text("{}")
    refused = run_command(*evaluate, source, second, f"--against={first}")
    assert "first.json has no metrics of single photos" in refused.stderr


def test_reconstruct_writes_every_size_and_names_what_it_cannot_read(
    workdir, photos, tmp_path
):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("a.png", "twin.png", "twin.bmp", "sub/b.png"):
        (mixed / name).parent.mkdir(exist_ok=True)
        (mixed / name).write_bytes((photos / name).read_bytes())
    (mixed / "broken.jpg").write_bytes(b"no photo")
    output = tmp_path / "rebuilt"
    done = run_command(
        "reconstruct",
        f"--workdir={workdir}",
        f"--input={mixed}",
        f"--output={output}",
        "--grid",
        "--tile=48",
    )
    assert done.returncode == 1
    assert "1 of 5 photos could not be read" in done.stderr
    _assert_short(done.stderr)
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    written = {str(p.relative_to(output)) for p in output.rglob("*.png")}
    pictures = {"a.png", "sub/b.png", "twin.png.png", "twin.bmp.png"}
    grids = {name.removesuffix(".png") + "_grid.png" for name in pictures}
    assert written == pictures | grids
    with Image.open(output / "a.png") as rebuilt:
        assert rebuilt.size == (47, 61)
        assert rebuilt.mode == "RGB"


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("evaluate", ["--workdir=nowhere"], "nowhere is no workdir of a run"),
        (
            "train",
            [f"--config={CONFIG}", "--workdir=w", "--config.data.batch_size=0"],
            "data.batch_size must be a positive multiple",
        ),
    ],
)
def test_errors_are_one_sentence(command, arguments, words, tmp_path):
    arguments = [a.replace("--workdir=", f"--workdir={tmp_path}/") for a in arguments]
    done = run_command(command, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.extended
def test_memory_is_told_and_does_not_grow_with_the_photo(workdir, tmp_path):
    peaks, sizes = [], ((96, 128), (1200, 1600))
    for number, size in enumerate(sizes):
        _photo(tmp_path / f"{number}.png", size)
        done = run_command(
            "reconstruct",
            f"--workdir={workdir}",
            f"--input={tmp_path / f'{number}.png'}",
            f"--output={tmp_path / 'rebuilt'}",
            "--tile=128",
        )
        assert done.returncode == 0, done.stderr
        told = re.search(r"peak memory: host ([0-9.]+) GiB", done.stdout)
        peaks.append(float(told[1]) * 2**30)
    image = 4 * 3 * 1200 * 1600
    # Photo and reconstruction stand on the host in a few copies; features of the whole
    # photo, 64 channels at its resolution, would be more than twenty of them.
    assert peaks[1] - peaks[0] < 8 * image


def test_reconstruct_never_overwrites_a_photo(workdir, photos):
    before = (photos / "a.png").read_bytes()
    done = run_command(
        "reconstruct",
        f"--workdir={workdir}",
        f"--input={photos / 'a.png'}",
        f"--output={photos}",
    )
    assert done.returncode == 1
    assert "would overwrite a file that is read" in done.stderr
    assert (photos / "a.png").read_bytes() == before
