"""A small codec with random parameters, as exported."""

import jax
import numpy as np
import pytest

from configs.codec import faces, photos
from vgg_unpool_jax.systems.codec import preparation
from vgg_unpool_jax.systems.codec.objective import from_config
from vgg_unpool_jax.systems.codec.trained import TrainedCodec, load_codec


@pytest.fixture(scope="session", params=[faces, photos], ids=["blocks8", "lapped16"])
def codec(request, tmp_path_factory) -> TrainedCodec:
    config = request.param.get_config("runlocal")
    objective = from_config(config)
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (4, 8, 8, 3), np.uint8)
    crops = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    batch = {"image": crops.astype(np.float32)}
    params, state = objective.init(jax.random.key(0), batch)
    params, state = preparation.prepare(
        config, objective, params, state, lambda *_: iter([crops])
    )
    # Layers that start at zero get values, so that nothing is tested with zeros alone.
    params = jax.tree.map(
        lambda array: (
            np.asarray(array)
            + generator.normal(0, 0.02, array.shape).astype(np.float32)
        ),
        params,
    )
    path = tmp_path_factory.mktemp("codec") / "codec-small.safetensors"
    TrainedCodec(config, {"params": params, **state}, 0).export(path)
    return load_codec(path)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A photo with edges and noise, of a size that no block divides."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:43, :70]
    image = 128 + 90 * np.sin(rows / 9) * np.cos(columns / 7)
    image = image[..., None] + generator.normal(0, 8, (43, 70, 3))
    return np.clip(image, 0, 255).astype(np.uint8)
