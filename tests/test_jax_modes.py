"""The same results under 64-bit mode and strict promotion of dtypes and ranks.

What each of them forbids or changes is an array of ours without a dtype, or two that
are combined only by implicit promotion. Run as a program, this file writes what
`compute` returns; the test compares two such processes' arrays.
"""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.npz import load_npz

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODES = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
}
SIDE = 16


def _photo(seed, height=SIDE, width=SIDE):
    tiles = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3))
    return np.kron(tiles, np.ones((4, 4, 1))).astype(np.float32)


def _pair(block):
    from configs.unpooling import base
    from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
    from vgg_unpool_jax.systems.unpooling import objective
    from vgg_unpool_jax.systems.unpooling.pair import Pair

    config = base.make_config(block, "runlocal")
    config.encoder.weights = "random"
    config.decoder.normalize_features = True
    made = objective.from_config(config)
    key, batch = jax.random.key(block), {"image": jnp.asarray(_photo(0)[None])}
    params, model_state = jax.jit(made.init)(key, batch)
    weights = random_vgg19_weights(0, block=block)
    return Pair(config, weights, {"params": params, **model_state}, 0)


def _pool_and_unpool(images, implementation, packed):
    from vgg_unpool_jax import max_pool_argmax, max_unpool

    options = {"packed": packed, "implementation": implementation}
    pooled, switches = max_pool_argmax(images, relu=True, **options)
    return jnp.sum(jnp.square(max_unpool(pooled, switches, **options))), switches


def _step(system, config, batch):
    """Metrics and parameters of one step of training."""
    from vgg_unpool_jax.data import make_augmentation
    from vgg_unpool_jax.training import parallel
    from vgg_unpool_jax.training.optimizers import make_optimizer
    from vgg_unpool_jax.training.state import create_train_state
    from vgg_unpool_jax.training.step import make_train_step

    objective = system.make_objective(config, None)
    optimizer = make_optimizer(config.optimizer, 10, 5.0)
    floats = {"image": jnp.asarray(batch["image"], jnp.float32)}
    state = create_train_state(
        *objective.init(jax.random.key(0), floats),
        optimizer.transformation,
        averaged=True,
    )
    augment = make_augmentation(flip=True)
    step = make_train_step(objective, optimizer, augment, average_decay=0.9)
    sharded = parallel.shard_batch(batch)
    key = jax.random.key(1)
    state, metrics = parallel.parallelize_step(step)(
        state, objective.frozen, sharded, key
    )
    return metrics, state.params


def compute(part):
    """What runs on a device, by name: everything but training, or "training"."""
    found = _train() if part == "training" else _apply()
    names = jax.tree_util.tree_leaves_with_path(found)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in names}


def _apply():
    from vgg_unpool_jax.applications.editing import directions
    from vgg_unpool_jax.applications.stylization.cascade import Stylizer
    from vgg_unpool_jax.applications.stylization.guided_filter import (
        SteadyGuidedFilter,
    )
    from vgg_unpool_jax.applications.stylization.smoothing import SMOOTHINGS, smooth

    photo, style = _photo(1), _photo(2)
    found = {name: smooth(name, photo, style) for name in SMOOTHINGS}
    steady = SteadyGuidedFilter(3.0, radius=2)
    found["steady"] = [steady(photo, style), steady(photo, style)]
    pairs = [_pair(1), _pair(2)]
    for pair in pairs:
        found[f"reconstruct {pair.block}"] = pair.reconstruct(photo[None, :15])
    for transform in ("wct", "ot"):
        stylizer = Stylizer(pairs, transform=transform)
        style_statistics = stylizer.measure_style(style)
        found[transform] = stylizer.stylize(photo, [(style_statistics, np.float64(2))])
    # Not `drop`: the first directions of few samples are as long as the next ones.
    found["scale"] = directions.scale_directions(pairs[1], photo, 1, [0.0, 2.0])
    images = np.random.default_rng(3).standard_normal((1, 5, 6, 8), np.float32)
    for implementation in ("xla", "pallas", "scatter"):
        for dtype in (jnp.float32, jnp.bfloat16):
            found[f"{implementation} {dtype.__name__}"] = jax.value_and_grad(
                _pool_and_unpool, has_aux=True
            )(jnp.asarray(images, dtype), implementation, dtype == jnp.bfloat16)
    return found


def _train():
    from configs.deepsim import autoencoder
    from configs.unpooling import base as unpooling
    from configs.vae import base as vae
    from vgg_unpool_jax.systems.deepsim.system import SYSTEM as DEEPSIM
    from vgg_unpool_jax.systems.unpooling.system import SYSTEM as PAIRS
    from vgg_unpool_jax.systems.vae.system import SYSTEM as VAES

    found = {}
    batch = {
        "image": np.stack([_photo(1), _photo(2)]).astype(np.uint8),
        "index": np.arange(2, dtype=np.int32),
    }
    config = unpooling.make_config(1, "runlocal")
    config.encoder.weights = "random"
    config.loss.ms_ssim = 0.0
    config.decoder.normalize_features = True
    found["train pair"] = _step(PAIRS, config, batch)
    config = vae.make_config("samples", "", "beta,runlocal")
    config.model.image_size, config.model.hidden_size = SIDE, 8
    config.model.encoder_channels = config.model.decoder_channels = (8, 8)
    # Adam's first step is the sign of a gradient, which rounding decides near zero.
    config.optimizer.eps = 1.0
    found["train VAE"] = _step(VAES, config, batch)
    photos = np.random.default_rng(4).integers(0, 256, (2, 40, 40, 3), np.uint8)
    config = autoencoder.get_config("runlocal")
    found["train DeePSiM"] = _step(DEEPSIM, config, {**batch, "image": photos})
    return found


@pytest.mark.extended
@pytest.mark.parametrize("part", ["models", "training"])
def test_64_bits_and_strict_promotion_change_nothing(part, tmp_path):
    path = tmp_path / "found.npz"
    subprocess.run(
        [sys.executable, __file__, str(path), part],
        env=os.environ | MODES | {"PYTHONPATH": str(ROOT)},
        timeout=300,
        check=True,
    )
    strict, usual = load_npz(path), compute(part)
    assert set(strict) == set(usual)
    for name, array in usual.items():
        kind = strict[name].dtype
        assert kind == (array.dtype if array.dtype.kind != "V" else kind), name
        if array.dtype.kind == "V":  # bfloat16, which a file does not name
            array, kept = (a.view(np.uint16) for a in (array, strict[name]))
            np.testing.assert_array_equal(kept, array, err_msg=name)
            continue
        scale = max(1.0, float(np.max(np.abs(array))))
        atol = 2e-4 * scale
        np.testing.assert_allclose(strict[name], array, rtol=0, atol=atol, err_msg=name)


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute(sys.argv[2]))
