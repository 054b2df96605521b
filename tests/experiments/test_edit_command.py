"""The command `edit`, on a pair that nobody has trained."""

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.test_files import _pair
from tests.experiments.commands import run_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A decoder of block 2 and two photos of different sizes."""
    folder = tmp_path_factory.mktemp("edit")
    _pair(2).export(folder / "pair.safetensors")
    random = np.random.default_rng(0)
    for name, size in (("a.png", (21, 34)), ("b.png", (40, 30))):
        photo = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(photo).save(folder / name)
    return folder


def _edit(folder, *arguments):
    files = f"--pair={folder / 'pair.safetensors'}", f"--input={folder / 'a.png'}"
    return run_command("edit", *files, *arguments)


def _size(path):
    with Image.open(path) as image:
        return image.size


def test_a_swap_writes_a_strip_and_its_frames(folder, tmp_path):
    done = _edit(
        folder,
        *("--edit=swap", f"--second={folder / 'b.png'}"),
        *(f"--output={tmp_path / 'strip.png'}", f"--frames={tmp_path / 'frames'}"),
    )
    assert done.returncode == 0, done.stderr
    assert "L1" in done.stdout and "equal switches at pool" in done.stdout
    assert _size(tmp_path / "strip.png")[0] > 6 * 34
    frames = [_size(path) for path in (tmp_path / "frames").iterdir()]
    assert len(frames) == 6 and set(frames) == {(34, 21)}


def test_what_does_not_fit_is_one_sentence(folder, tmp_path):
    output = f"--output={tmp_path / 'strip.png'}"
    done = _edit(folder, "--edit=drop", "--count=999", output)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0 and "999" in done.stderr
    assert done.stderr.startswith("error: ") and not list(tmp_path.iterdir())
