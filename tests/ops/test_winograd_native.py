"""Winograd's convolution by C++: the values of XLA's, and where it is not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import native_operations, winograd, winograd_native
from vgg_unpool_jax.ops.convolution import convolve

needs_compiler = pytest.mark.skipif(
    not native_operations.is_available(winograd_native.SOURCE, "convolve"),
    reason="no C++ compiler",
)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_close(found, expected, tolerance):
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@needs_compiler
# Widths beside and between the panels of vectors, more channels than are multiplied at
# a time with few and with many tiles, rows of a large power of two, a single tile,
# several blocks and threads, results past the caches.
@pytest.mark.parametrize(
    ("shape", "outputs", "gated"),
    [
        ((1, 1, 1, 1), 1, False),
        ((1, 3, 9, 15), 17, True),
        ((2, 7, 6, 33), 48, False),
        ((3, 13, 6, 80), 95, True),
        ((2, 9, 10, 300), 330, False),
        ((2, 9, 10, 300), 330, True),
        ((4, 33, 40, 280), 270, True),
        ((2, 44, 40, 512), 500, True),
        ((2, 130, 90, 64), 64, False),
        ((2, 130, 90, 64), 64, True),
    ],
)
def test_values_are_those_of_xla(shape, outputs, gated):
    images, kernel = draw(*shape), draw(3, 3, shape[3], outputs, seed=1)
    cotangent, bias = draw(*shape[:3], outputs, seed=2), draw(outputs, seed=3)
    gates = [jnp.maximum(draw(*shape, seed=4), 0)], [draw(*cotangent.shape, seed=5)]
    gates = gates if gated else ([], [])
    for relu in (False, True):
        found, expected = (
            jax.jit(method.convolve, static_argnames="relu")(
                images, kernel, bias, *gates[0], relu=relu
            )
            for method in (winograd_native, winograd)
        )
        assert_close(found, expected, 1e-5)
        assert (found.min() >= 0) == relu or found.size == 1
    found, expected = (
        jax.jit(method.weight_gradient)(images, cotangent, *gates[1])
        for method in (winograd_native, winograd)
    )
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-5)


@needs_compiler
def test_error_of_many_channels_is_that_of_the_programs_of_xla():
    images = jnp.maximum(draw(1, 24, 24, 512), 0)
    kernel = draw(3, 3, 512, 32, seed=1) * np.float32(np.sqrt(2 / (9 * 512)))
    double = np.pad(np.asarray(images, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernels = np.asarray(kernel, np.float64)
    exact = sum(
        double[:, row : row + 24, column : column + 24] @ kernels[row, column]
        for row in range(3)
        for column in range(3)
    )
    found = np.asarray(winograd_native.convolve(images, kernel))
    assert np.sqrt(np.mean(np.square(found - exact))) / exact.std() < 2e-6


@needs_compiler
def test_a_tile_does_not_depend_on_what_is_beside_it():
    """Which makes the tiles of large photos equal to the whole."""
    images, kernel = draw(1, 64, 200, 40), draw(3, 3, 40, 72, seed=1)
    whole = winograd_native.convolve(images, kernel)
    part = winograd_native.convolve(images[:, :, 96:168], kernel)
    np.testing.assert_array_equal(part[:, :, 4:-4], whole[:, :, 100:164])


@needs_compiler
def test_a_photo_does_not_depend_on_how_many_are_beside_it():
    """Of one, the kernel's transform is made panel by panel; of all, at once."""
    images, kernel = draw(30, 12, 12, 256), draw(3, 3, 256, 256, seed=1)
    all_of_them = winograd_native.convolve(images, kernel)
    alone = winograd_native.convolve(images[7:8], kernel)
    np.testing.assert_array_equal(alone[0], all_of_them[7])


@needs_compiler
def test_nan_stays_in_its_tile_and_passes_relu():
    images = draw(1, 12, 12, 8).at[0, 5, 5, 3].set(jnp.nan)
    found = winograd_native.convolve(images, draw(3, 3, 8, 8, seed=1), relu=True)
    spoilt = np.isnan(found).all(-1)[0]
    assert spoilt[4:8, 4:8].all()
    assert spoilt.sum() == 16


@needs_compiler
def test_no_photos_have_no_gradient():
    images, cotangent = jnp.ones((0, 8, 8, 5)), jnp.ones((0, 8, 8, 6))
    assert winograd_native.convolve(images, jnp.ones((3, 3, 5, 6))).size == 0
    for gradient in winograd_native.weight_gradient(images, cotangent):
        np.testing.assert_array_equal(gradient, 0)


@needs_compiler
def test_gradients_repeat_to_the_bit():
    images, cotangent = draw(4, 90, 90, 32), draw(4, 90, 90, 48, seed=1)
    first = winograd_native.weight_gradient(images, cotangent)
    for _ in range(5):
        again = winograd_native.weight_gradient(images, cotangent)
        for one, other in zip(again, first, strict=True):
            np.testing.assert_array_equal(one, other)


def _layer(images, kernel):
    return convolve(images, kernel, jnp.zeros(kernel.shape[3]), relu=True)


@needs_compiler
def test_the_default_on_a_cpu_calls_the_library():
    arrays = jnp.ones((1, 32, 32, 16)), jnp.ones((3, 3, 16, 16))
    gradient = jax.jit(jax.grad(lambda *arrays: jnp.sum(_layer(*arrays)), (0, 1)))
    text = gradient.lower(*arrays).as_text()
    assert text.count("custom_call @vgg_unpool_convolve") == 2
    assert text.count("custom_call @vgg_unpool_weight_gradient") == 1


def test_without_a_library_xla_takes_its_place(monkeypatch):
    monkeypatch.setattr(native_operations, "is_available", lambda *_: False)
    arrays = draw(1, 32, 32, 16), draw(3, 3, 16, 16, seed=1)
    lowered = jax.jit(lambda *arrays: _layer(*arrays)).lower(*arrays)
    assert "custom_call @vgg_unpool" not in lowered.as_text()
    expected = convolve(*arrays, jnp.zeros(16), relu=True, implementation="xla")
    assert_close(lowered.compile()(*arrays), expected, 1e-5)


def test_an_exported_program_runs_without_the_library():
    kernel = draw(3, 3, 16, 16, seed=1)
    exported = jax.export.export(jax.jit(lambda images: _layer(images, kernel)))(
        jax.ShapeDtypeStruct((2, 32, 32, 16), jnp.float32)
    )
    assert "custom_call @vgg_unpool" not in exported.mlir_module()
    images = draw(2, 32, 32, 16)
    assert_close(exported.call(images), _layer(images, kernel), 1e-5)


@needs_compiler
def test_eight_devices(run_on_eight_devices):
    run_on_eight_devices(__file__)


def _compare_devices():
    assert len(jax.devices()) == 8
    images, kernel = draw(8, 2, 24, 24, 32), draw(3, 3, 32, 32, seed=1)

    def gradient(images, kernel):
        return jax.grad(lambda k: jnp.sum(_layer(images, k) ** 2))(kernel)

    mapped = jax.pmap(gradient, in_axes=(0, None))(images, kernel)
    for one, found in zip(images, mapped, strict=True):
        assert_close(found, jax.jit(gradient)(one, kernel), 1e-6)


if __name__ == "__main__":
    _compare_devices()
