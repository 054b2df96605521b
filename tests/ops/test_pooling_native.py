"""Pooling by C++: the results of XLA's programs, and where it is not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vgg_unpool_jax.ops import (
    max_pool_argmax,
    max_unpool,
    native_operations,
    pooling_native,
)
from vgg_unpool_jax.ops.native_operations import is_available

needs_compiler = pytest.mark.skipif(
    not is_available(pooling_native.SOURCE, "pool"), reason="no C++ compiler"
)


def _program(images, values, *, relu, implementation):
    """Everything that the three functions give, gated and not."""
    options = {"implementation": implementation}
    (pooled, codes), gradient = jax.vjp(
        lambda images: max_pool_argmax(images, relu=relu, **options), images
    )
    zero = np.zeros(codes.shape, jax.dtypes.float0)
    unpool = lambda values: max_unpool(  # noqa: E731
        values, codes, output_shape=images.shape, **options
    )
    unpooled, pick = jax.vjp(unpool, values)
    back = lambda values: gradient((values, zero))[0]  # noqa: E731
    gated_pick = jax.vjp(back, values)[1](images)[0]
    return pooled, codes, back(values), unpooled, pick(images)[0], gated_pick


@needs_compiler
# Widths beside and beyond the vectors and the runs of channels, odd sizes, enough rows
# for several threads, and results that are streamed past the caches.
@pytest.mark.parametrize(
    ("shape", "dtype", "relu"),
    [
        ((2, 7, 9, 3), "float32", False),
        ((2, 7, 9, 3), "bfloat16", True),
        ((1, 2, 3, 600), "float32", True),
        ((1, 2, 3, 600), "bfloat16", False),
        ((3, 64, 66, 64), "float32", True),
        ((3, 64, 66, 64), "bfloat16", False),
        ((1, 66, 512, 256), "float32", False),
    ],
)
def test_every_bit_is_that_of_xla(shape, dtype, relu):
    rng = np.random.default_rng(0)
    pooled = (shape[0], shape[1] // 2, shape[2] // 2, shape[3])

    def draw(shape):
        # Any bits at all: both infinities, NaN, subnormal numbers; and many ties.
        unsigned = f"u{jnp.dtype(dtype).itemsize}"
        bits = rng.integers(0, np.iinfo(unsigned).max, shape, unsigned, endpoint=True)
        values = jax.lax.bitcast_convert_type(bits, dtype)
        small = jnp.asarray(rng.integers(-2, 3, shape), dtype)
        mixed = jnp.where(rng.random(shape) < 0.5, small, values)
        # XLA chooses either of two zeros of unlike signs.
        return jnp.where(mixed == 0, jnp.zeros((), dtype), mixed)

    images, values = draw(shape), draw(pooled)
    run = jax.jit(_program, static_argnames=("relu", "implementation"))
    found = run(images, values, relu=relu, implementation="native")
    expected = run(images, values, relu=relu, implementation="xla")
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        one, other = (np.asarray(array, np.float32) for array in (one, other))
        np.testing.assert_array_equal(one, other)


@needs_compiler
def test_the_default_on_a_cpu_calls_the_library():
    text = jax.jit(max_pool_argmax).lower(jnp.ones((1, 4, 4, 2))).as_text()
    assert "custom_call @vgg_unpool_pool" in text


@pytest.mark.parametrize("reason", ["no library", "dtype"])
def test_xla_takes_its_place(monkeypatch, reason):
    dtype = jnp.float16 if reason == "dtype" else jnp.float32
    if reason == "no library":
        monkeypatch.setattr(native_operations, "is_available", lambda *_: False)
    images = jnp.arange(32, dtype=dtype).reshape(1, 4, 4, 2)
    lowered = jax.jit(lambda x: max_unpool(*max_pool_argmax(x))).lower(images)
    assert "custom_call @vgg_unpool" not in lowered.as_text()
    found = np.asarray(lowered.compile()(images))
    np.testing.assert_array_equal(found[0, 1::2, 1::2], images[0, 1::2, 1::2])
    assert np.count_nonzero(found) == 8


def test_an_exported_program_runs_without_the_library():
    exported = jax.export.export(jax.jit(max_pool_argmax), platforms=("cpu", "cuda"))(
        jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, 6, 4, 3"), jnp.float32)
    )
    assert "custom_call @vgg_unpool" not in exported.mlir_module()
    images = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    for one, other in zip(exported.call(images), max_pool_argmax(images), strict=True):
        np.testing.assert_array_equal(one, other)


@needs_compiler
def test_eight_devices_by_pmap_and_by_a_mesh(run_on_eight_devices):
    run_on_eight_devices(__file__)


def _compare_devices():
    devices = jax.devices()
    assert len(devices) == 8
    images = jax.random.normal(jax.random.key(0), (16, 64, 64, 64))
    expected = max_pool_argmax(images)
    sharding = NamedSharding(Mesh(devices, "n"), PartitionSpec("n"))
    by_mesh = jax.jit(max_pool_argmax)(jax.device_put(images, sharding))
    shards = images.reshape(8, 2, 64, 64, 64)
    by_map = jax.pmap(max_pool_argmax)(shards)
    assert "custom_call @vgg" in jax.pmap(max_pool_argmax).lower(shards).as_text()
    for one, other, mapped in zip(by_mesh, expected, by_map, strict=True):
        assert one.sharding.is_equivalent_to(sharding, 4)  # not gathered
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(mapped.reshape(other.shape), other)


if __name__ == "__main__":
    _compare_devices()
