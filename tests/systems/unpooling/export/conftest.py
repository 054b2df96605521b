"""Pairs to export, and programs of others that load what was written.

Each format is loaded by a process without this package, once for all tests of it.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from vgg_unpool_jax import load_pair
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.pretrained.recorded import released_record
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases.file import write
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts

# In [0, 255], and of features as a share of the largest.
TOLERANCE = 1e-3
FEATURE_TOLERANCE = 1e-5


@dataclasses.dataclass
class Case:
    """A pair and images for it."""

    pair: object
    images: np.ndarray

    @property
    def parts(self):
        return PairParts.of(self.pair)


def make_pair(
    folder, block, *, preprocessing="caffe", upsampling="unpool", plain=False
):
    """A pair with random weights whose images lie on the scale of [0, 255]."""
    section = {
        "normalize_features": not plain,
        "output_scale": 1.0 if plain else 64.0,
        "initial_output": 0.0 if plain else 114.0,
        "upsampling": upsampling,
    }
    weights = random_vgg19_weights(3, block=block, preprocessing=preprocessing)
    generator = np.random.default_rng(4)
    variables = {"params": {}}
    for name, shape in decoder_shapes(block, section).items():
        collection, *place = name.split("/")
        if collection == "statistics":
            values = generator.uniform(20, 100, shape).astype(np.float32)
            variables["statistics"] = {place[0]: values}
            continue
        layer, kind = place
        fan = np.prod(shape[:-1]) if kind == "kernel" else 100
        values = generator.standard_normal(shape, np.float32) * np.sqrt(2 / fan)
        variables["params"].setdefault(layer, {})[kind] = values.astype(np.float32)
    file = pathlib.Path(folder) / f"{preprocessing}-{upsampling}-{block}.safetensors"
    encoder = {"block": block, "weights": "random", "random_seed": 3}
    write(
        file,
        variables,
        config={"system": "unpooling", "encoder": encoder, "decoder": section},
        pretrained=released_record(weights, block),
        step=7,
        facts={"licence": "MIT", "photos seen": 3},
    )
    return load_pair(file)


def random_images(n=2, height=32, width=48):
    """Noise in [0, 255]."""
    shape = (n, height, width, 3)
    return np.random.default_rng(5).uniform(0, 255, shape).astype(np.float32)


def real_photo(height=160, width=240):
    """A photo, and itself mirrored: two of a batch."""
    photo = make_source("samples")[0][:height, :width].astype(np.float32)
    return np.stack([photo, photo[:, ::-1]])


CASES = ("random-block1", "random-block3", "real-block2")


@pytest.fixture(scope="session")
def cases(tmp_path_factory, request):
    """The pairs by name; the real one only where the real weights are."""
    folder = tmp_path_factory.mktemp("pairs")
    found = {
        # The other preprocessing, and no normalisation.
        "random-block1": Case(
            make_pair(folder, 1, preprocessing="torchvision", plain=True),
            random_images(),
        ),
        "random-block3": Case(make_pair(folder, 3), random_images()),
    }
    try:
        weights = request.getfixturevalue("vgg19_weights_path")
    except pytest.skip.Exception:
        return found
    found["real-block2"] = Case(load_pair("vgg19-block2", weights), real_photo())
    return found


@pytest.fixture(params=CASES)
def case(request, cases):
    """Each of them; the name is its `.name`."""
    if request.param not in cases:
        pytest.skip("the real VGG19 weights are not there")
    cases[request.param].name = request.param
    return cases[request.param]


def run_elsewhere(script, *arguments, folder):
    """Run a Python program that cannot import this package, and fail with its words.

    Returns:
      What it printed.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
    guard = (
        "import importlib.util\n"
        "assert importlib.util.find_spec('vgg_unpool_jax') is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard + script, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def assert_same(case, features, codes, outputs, whole):
    """Hold what another program made of the images of a case against ours.

    Args:
      case: the pair and its images.
      features: of the other encoder.
      codes: its switches as our window codes.
      outputs: what the other decoder makes of both.
      whole: what the other autoencoder makes of the images.
    """
    ours, our_codes = case.pair.encode(case.images)
    assert features.shape == ours.shape
    largest = np.abs(ours).max()
    assert np.abs(features - ours).max() <= FEATURE_TOLERANCE * largest
    for code, our_code in zip(codes, our_codes, strict=True):
        # Not all: of two values that are equal up to rounding either may win.
        assert (code == np.asarray(our_code)).mean() > 0.99
    decoded = np.asarray(case.pair.decode(features, codes))
    assert outputs.shape == case.images.shape
    assert np.abs(outputs - decoded).max() <= TOLERANCE
    assert np.abs(whole - outputs).max() <= TOLERANCE
    # That the pictures are no constants, of which all of this would be true as well.
    assert outputs.std() > 1
