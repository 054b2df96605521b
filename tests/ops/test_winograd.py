"""Winograd's convolution against a float64 reference and XLA's gradients."""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import winograd


def reference(images, kernel):
    """3×3 convolution in float64, zero padding of 1."""
    _, height, width, _ = images.shape
    padded = np.pad(np.asarray(images, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(kernel, np.float64)
    return sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row, column in itertools.product(range(3), range(3))
    )


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_transforms_are_exact():
    inputs, kernel, outputs = winograd.make_transforms()
    # In exact arithmetic, on integers: fractions of the matrices are dyadic or checked
    # through the identity itself.
    x = np.array([3, -1, 4, 1, -5, 9], float)
    k = np.array([2, -7, 1], float)
    wanted = [x[i : i + 3] @ k for i in range(4)]
    got = outputs @ ((kernel @ k) * (inputs @ x))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
    assert inputs[0, 0] == float(Fraction(81, 64))


@pytest.mark.parametrize(
    ("n", "height", "width", "inputs", "outputs"),
    [
        (1, 4, 4, 1, 1),
        (2, 5, 7, 3, 2),
        (3, 13, 6, 8, 5),
        (1, 1, 1, 4, 4),
        (2, 2, 9, 2, 3),
    ],
)
def test_any_size(n, height, width, inputs, outputs):
    images, kernel = draw(n, height, width, inputs), draw(3, 3, inputs, outputs, seed=1)
    got = winograd.convolve(jnp.asarray(images), jnp.asarray(kernel))
    np.testing.assert_allclose(got, reference(images, kernel), rtol=0, atol=1e-4)


# Cut by photos, by rows, by rows that do not divide the height, and not at all.
@pytest.mark.parametrize("budget", [1, 13_000, 75_000, 10**9])
def test_bands_change_nothing(monkeypatch, budget):
    images, kernel = draw(4, 30, 17, 6), draw(3, 3, 6, 5, seed=1)
    cotangent = draw(4, 30, 17, 5, seed=2)
    monkeypatch.setattr(winograd, "_BAND_BYTES", budget)
    bands = winograd._make_bands(images.shape, 6, 0)
    assert {1: (4, 8), 13_000: (4, 3), 75_000: (2, 1), 10**9: (1, 1)}[budget] == (
        bands.count
    )
    monkeypatch.setattr(winograd, "_make_bands", lambda *_: bands)
    got = winograd.convolve(jnp.asarray(images), jnp.asarray(kernel))
    np.testing.assert_allclose(got, reference(images, kernel), rtol=0, atol=1e-4)
    gradient, bias = winograd.weight_gradient(*map(jnp.asarray, (images, cotangent)))
    np.testing.assert_allclose(bias, cotangent.sum((0, 1, 2)), rtol=0, atol=1e-3)
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row, column in itertools.product(range(3), range(3)):
        shifted = padded[:, row : row + 30, column : column + 17]
        wanted = np.einsum("nhwi,nhwo->io", shifted, cotangent)
        np.testing.assert_allclose(gradient[row, column], wanted, rtol=0, atol=2e-3)


def test_error_of_many_channels_is_that_of_the_docstring():
    images = np.maximum(draw(1, 24, 24, 512), 0)
    kernel = draw(3, 3, 512, 32, seed=1) * np.float32(np.sqrt(2 / (9 * 512)))
    wanted = reference(images, kernel)
    got = np.asarray(winograd.convolve(jnp.asarray(images), jnp.asarray(kernel)))
    error = np.sqrt(np.mean(np.square(got - wanted))) / wanted.std()
    assert error < 2e-6
    assert np.abs(got - wanted).max() / wanted.std() < 2e-5


def test_a_program_keeps_no_zeros_and_no_padded_images():
    """Which XLA would share among all convolutions, from the first to the last."""
    images, kernel = jnp.ones((1, 128, 128, 32)), jnp.ones((3, 3, 32, 32))

    def chain(images, kernel):
        for _ in range(4):
            images = jnp.tanh(winograd.convolve(images, kernel))
        return images

    found = jax.jit(chain).lower(images, kernel).compile().memory_analysis()
    assert found.temp_size_in_bytes < 4 * images.nbytes  # it was 6.4


def test_a_batch_of_images_transforms_the_kernel_once():
    images, kernel = jnp.ones((5, 1, 8, 8, 32)), jnp.ones((3, 3, 32, 48))
    batched = jax.vmap(winograd.convolve, (0, None))
    assert "f32[36,32,48]" in str(jax.make_jaxpr(batched)(images, kernel))
    assert "[5,36,32,48]" not in str(jax.make_jaxpr(batched)(images, kernel))
    convolve = jax.jit(winograd.convolve)
    for found, one in zip(jax.jit(batched)(images, kernel), images, strict=True):
        np.testing.assert_array_equal(found, convolve(one, kernel))
