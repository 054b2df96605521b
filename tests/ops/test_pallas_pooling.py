"""The Pallas kernels without their hardware: interpreted, and lowered for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import (
    max_pool_argmax,
    max_unpool,
    pooling_pallas,
    pooling_xla,
)
from vgg_unpool_jax.ops.windows import make_grid

# Pools 1 and 4 at 256² and 1024², and sizes that are no power of two.
REAL_SHAPES = [
    (16, 32, 32, 512),
    (16, 1024, 1024, 64),
    (2, 224, 224, 96),
    (1, 15, 9, 3),
]
PROGRAMS = [
    (REAL_SHAPES[0], jnp.bfloat16, False),
    (REAL_SHAPES[1], jnp.float32, False),
    (REAL_SHAPES[3], jnp.float32, False),
    (REAL_SHAPES[2], jnp.bfloat16, True),  # takes four times as long to lower
]
# From jax 0.11; this test is what notices when it is gone.
DEPRECATED = pytest.mark.filterwarnings(
    "ignore:The Pallas Triton backend is deprecated:DeprecationWarning"
)


def _images(shape, dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(-2, 3, shape).astype(np.float32)
    images[rng.random(shape) < 0.1] = np.nan
    images[:, :2, :2] = -np.inf
    return jnp.asarray(images, dtype)


@pytest.mark.parametrize("layout", ["_Triton", "_Mosaic"])
@pytest.mark.parametrize(
    ("shape", "dtype", "packed"),
    [
        ((1, 5, 9, 1), jnp.float32, True),
        ((2, 7, 4, 3), jnp.bfloat16, False),
        ((1, 4, 70, 96), jnp.float32, False),
        pytest.param(*((1, 4, 4, 512), jnp.bfloat16, True), marks=pytest.mark.extended),
    ],
)
def test_interpreted_kernels_equal_xla(monkeypatch, shape, dtype, packed, layout):
    # On a CPU the interpreter takes the blocks of either accelerator; small ones, so
    # that there are several, for Mosaic also an incomplete last one.
    monkeypatch.setattr(
        pooling_pallas, "_Triton", getattr(pooling_pallas, layout), raising=True
    )
    monkeypatch.setattr(pooling_pallas, "_TRITON_BYTES", 1024)
    monkeypatch.setattr(pooling_pallas, "_MOSAIC_BYTES", 16 * 1024)
    grid = make_grid(shape[1:3], (2, 2), (2, 2), "VALID")

    def everything(module, images, gate):
        pooled, switches = module.pool(images, grid, True, packed)
        plain, codes = module.pool(images, grid, False, packed)
        return (
            *(pooled, switches, plain, codes),
            module.unpool(gate, codes, None, grid, packed),
            module.unpool(gate, codes, gate, grid, packed),
            module.pick(images, codes, None, grid, packed),
            module.pick(images, codes, gate, grid, packed),
        )

    images = _images(shape, dtype)
    gate = jax.random.normal(
        jax.random.key(0), (shape[0], *grid.pooled_size, shape[3]), dtype
    )
    found, expected = (
        jax.jit(functools.partial(everything, module))(images, gate)
        for module in (pooling_pallas, pooling_xla)
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(
            np.asarray(one, np.float32), np.asarray(other, np.float32)
        )


def test_codes_outside_the_window_write_nothing():
    values = jnp.ones((1, 2, 2, 1))
    switches = jnp.asarray([0, 3, 4, 255], jnp.uint8).reshape(1, 2, 2, 1)
    unpool = jax.jit(functools.partial(max_unpool, implementation="pallas"))
    assert float(unpool(values, switches).sum()) == 2


def _there_and_back(images, packed):
    options = {"packed": packed, "implementation": "pallas"}
    pooled, switches = max_pool_argmax(images, relu=True, **options)
    return max_unpool(pooled, switches, output_shape=images.shape, **options)


def _lowered(platform, shape, dtype, packed):
    """The program of pool and unpool with their gradients, for another platform."""

    def both(images):
        unpooled, gradient = jax.vjp(lambda x: _there_and_back(x, packed), images)
        return gradient(unpooled)

    traced = jax.jit(both).trace(jax.ShapeDtypeStruct(shape, dtype))
    return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(("shape", "dtype", "packed"), PROGRAMS)
def test_lowers_for_a_tpu(shape, dtype, packed):
    program = _lowered("tpu", shape, dtype, packed)
    # Pool, unpool, pick and the gradient of pooling, two of them unpooling alike.
    assert program.count("tpu_custom_call") >= 3


@DEPRECATED
@pytest.mark.parametrize(("shape", "dtype", "packed"), PROGRAMS)
def test_lowers_for_a_gpu(shape, dtype, packed):
    try:
        program = _lowered("cuda", shape, dtype, packed)
    except RuntimeError as error:  # from jax 0.11 it asks a GPU for its architecture
        if "No supported GPU devices found" not in str(error):
            raise
        pytest.skip(f"this jax lowers Triton only beside a GPU: {error}")
    assert program.count("gpu.triton") >= 3


@DEPRECATED
def test_lowers_for_a_gpu_under_vmap():
    images = jax.ShapeDtypeStruct((3, 2, 16, 16, 64), jnp.float32)
    mapped = jax.jit(jax.vmap(lambda x: _there_and_back(x, False)))
    try:
        program = mapped.trace(images).lower(lowering_platforms=("cuda",)).as_text()
    except RuntimeError as error:
        if "No supported GPU devices found" not in str(error):
            raise
        pytest.skip(f"this jax lowers Triton only beside a GPU: {error}")
    assert program.count("gpu.triton") == 2


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("shape", REAL_SHAPES)
def test_triton_blocks_are_powers_of_two_that_divide(shape, itemsize):
    n, height, width, channels = shape
    sizes = pooling_pallas._Sizes(n, height // 2, width // 2, 1, channels, itemsize)
    blocks = pooling_pallas._Triton(sizes).blocks
    for block, size in zip(
        blocks, (n * (height // 2), width // 2, channels), strict=True
    ):
        assert block & (block - 1) == 0 and size % block == 0
    assert np.prod(blocks) * itemsize <= pooling_pallas._TRITON_BYTES
