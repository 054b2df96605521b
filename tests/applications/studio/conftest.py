"""Small pairs that nobody has trained, as files and loaded."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs.unpooling.base import make_config
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.pair import Pair


def _pair(block):
    config = make_config(block, "runlocal")
    config.convolution = "xla"
    config.decoder.output_scale, config.decoder.initial_output = 8.0, 114.0
    weights = random_vgg19_weights(0, block=block)
    _, decoder = make_pair_models(config, weights.preprocessing)
    side = 2 ** (block - 1)
    features = np.zeros((1, 1, 1, (64, 128)[block - 1]), np.float32)
    switches = [np.zeros((1, side // 2, side // 2, 64), np.uint8)] * (block - 1)
    variables = jax.jit(decoder.init)(jax.random.key(block), features, switches)
    return Pair(config, weights, variables, 0)


@pytest.fixture(scope="session")
def pair():
    """Block 2."""
    return _pair(2)


@pytest.fixture(scope="session")
def released(tmp_path_factory, pair):
    """Files of the pairs of blocks 1 and 2, which need no weight file."""
    folder = tmp_path_factory.mktemp("released")
    paths = []
    for one in (_pair(1), pair):
        paths.append(folder / f"block{one.block}.safetensors")
        one.export(paths[-1])
    return paths


@pytest.fixture
def photo():
    """uint8 (40, 56, 3), smooth."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(
        Image.fromarray(coarse).resize((56, 40), Image.Resampling.BICUBIC)
    )
