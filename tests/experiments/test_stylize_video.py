"""The command for films, with decoders that nobody has trained."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.test_files import _pair
from tests.experiments.commands import run_command
from vgg_unpool_jax.applications.stylization.files import load_stylizer
from vgg_unpool_jax.applications.stylization.looks import LOOKS
from vgg_unpool_jax.applications.stylization.video import VideoStylizer
from vgg_unpool_jax.applications.stylization.video_files import open_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A decoder, a style, and a film of four noisy frames and two of another scene."""
    folder = tmp_path_factory.mktemp("film")
    _pair(1).export(folder / "block1.safetensors")
    random = np.random.default_rng(0)
    style = random.integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(style).save(folder / "style.png")
    (folder / "film").mkdir()
    for index in range(6):
        photo = np.full((31, 45, 3), 60.0 if index < 4 else 200.0)
        photo[:, :20] += 30
        photo += random.normal(0, 6, photo.shape)
        pixels = np.clip(photo, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "film" / f"{index + 8}.png")
    return folder


@pytest.fixture(scope="module")
def parts(folder):
    stylizer = load_stylizer([folder / "block1.safetensors"])
    style = stylizer.measure_style(np.asarray(Image.open(folder / "style.png")))
    return stylizer, style, open_video(folder / "film")


def _run(parts, **options):
    stylizer, style, video = parts
    work = VideoStylizer(stylizer, style, **{"steadiness": 0} | options)
    return work, np.stack([pixels for _, pixels in work.stylize(video.frames)])


@pytest.mark.extended
def test_flicker_is_the_change_beyond_that_of_the_film(parts):
    frames = np.stack([frame.pixels for frame in parts[2].frames()])
    work, results = _run(parts, smoothing="none")
    assert work.cuts == [4]
    result, film = (np.abs(np.diff(x.astype(float), axis=0)) for x in (results, frames))
    assert work.flicker == pytest.approx(np.maximum(result - film, 0).mean())


@pytest.mark.extended
def test_the_guided_filter_looks_back_within_a_shot(parts):
    _, results = _run(parts, smoothing="guided", steadiness=50)
    _, alone = _run(parts, smoothing="guided")
    np.testing.assert_array_equal(results[4], alone[4])
    assert (results[3] != alone[3]).any()


def _command(folder, output, *flags):
    return run_command(
        "stylize_video",
        *(f"--content={folder / 'film'}", f"--style={folder / 'style.png'}"),
        *(f"--output={output}", f"--pairs={folder / 'block1.safetensors'}"),
        "--transform=wct",
        *flags,
    )


@pytest.mark.extended
def test_the_command_writes_a_folder_as_the_library_does(folder, parts, tmp_path):
    done = _command(folder, tmp_path / "out", "--look=faithful", "--measure")
    assert done.returncode == 0, done.stderr
    work, results = _run(parts, look=LOOKS["faithful"])
    written = list(open_video(tmp_path / "out").frames())
    assert [frame.name for frame in written] == [str(i) for i in range(8, 14)]
    for frame, result in zip(written, results, strict=True):
        assert np.abs(frame.pixels.astype(int) - result).max() <= 1
    assert "[6/6] 13" in done.stdout and "cuts before frame 4" in done.stdout
    (told,) = re.findall(r"flicker ([\d.]+) grey levels", done.stdout)
    assert float(told) == pytest.approx(work.flicker, abs=0.01)
    assert re.search(r"own [\d.]+; edges \(Sobel\) 0[\d.]+; colours \d", done.stdout)


def test_an_output_that_cannot_be_is_one_sentence(folder):
    done = _command(folder, folder / "film")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: the output")
    assert "Traceback" not in done.stderr
