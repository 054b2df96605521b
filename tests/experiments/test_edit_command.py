"""The command `edit`, on a pair that nobody has trained."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from configs.unpooling.base import make_config
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.pair import Pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A decoder of block 2 and two photos of different sizes."""
    folder = tmp_path_factory.mktemp("edit")
    config = make_config(2, "runlocal")
    weights = random_vgg19_weights(0, block=2)
    _, decoder = make_pair_models(config, weights.preprocessing)
    features, codes = (
        np.zeros((1, 1, 1, 128), np.float32),
        np.zeros((1, 1, 1, 64), "u1"),
    )
    variables = decoder.init(jax.random.key(0), features, [codes])
    Pair(config, weights, variables, 0).export(folder / "pair.safetensors")
    random = np.random.default_rng(0)
    for name, size in (("a.png", (21, 34)), ("b.png", (40, 30))):
        photo = random.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(photo).save(folder / name)
    return folder


def _edit(folder, *arguments):
    return subprocess.run(
        [
            *(sys.executable, "-m", "experiments.edit"),
            *(f"--pair={folder / 'pair.safetensors'}", f"--input={folder / 'a.png'}"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--edit=swap"], "--second"),
        (["--edit=drop", "--count=a"], "--count"),
        (["--edit=drop", "--count=999"], "999"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, tmp_path, arguments, words):
    done = _edit(folder, *arguments, f"--output={tmp_path / 'strip.png'}")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0 and words in done.stderr
    assert done.stderr.startswith("error: ") and not list(tmp_path.iterdir())
