"""CIELAB against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
from skimage import color

from vgg_unpool_jax.ops.lab import ciede2000, fit_into_rgb, lab_to_rgb, rgb_to_lab


def _colors():
    steps = np.linspace(0, 255, 18)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return np.concatenate([grid, np.random.default_rng(0).uniform(0, 6, (99, 3))])


def test_conversion_is_that_of_scikit_image():
    rgb = _colors().astype(np.float32)
    lab = rgb_to_lab(rgb)
    np.testing.assert_allclose(lab, color.rgb2lab(rgb / 255.0), atol=1e-3)
    np.testing.assert_allclose(lab_to_rgb(lab), rgb, atol=0.02)


def test_gradients_are_finite_at_black_and_white():
    for value in (0.0, 255.0, 10.31475, 3.0):
        rgb = jnp.full((1, 3), value)
        there = jax.jit(jax.jacobian(rgb_to_lab))(rgb)
        back = jax.jit(jax.jacobian(lab_to_rgb))(rgb_to_lab(rgb))
        assert np.isfinite(there).all() and np.isfinite(back).all()
        # One is the inverse of the other.
        product = back.reshape(3, 3) @ there.reshape(3, 3)
        np.testing.assert_allclose(product, np.eye(3), atol=2e-2)


def test_accelerators_multiply_exactly():
    """Their default, of 8 to 11 bits, does not show on a CPU."""
    for function in (rgb_to_lab, lab_to_rgb):
        text = str(jax.make_jaxpr(function)(jnp.ones((4, 3))))
        assert text.count("dot_general") == text.count("precision=(") == 1
        assert "HIGHEST" in text


def test_differences_are_those_of_scikit_image():
    lab = color.rgb2lab(_colors() / 255.0)
    other = np.roll(lab, 1234, axis=0)
    expected = color.deltaE_ciede2000(lab, other)
    found = jax.jit(ciede2000)(
        jnp.asarray(lab, jnp.float32), jnp.asarray(other, jnp.float32)
    )
    np.testing.assert_allclose(found, expected, atol=2e-2)
    near = lab + np.random.default_rng(1).normal(0, 1, lab.shape)
    expected = color.deltaE_ciede2000(lab, near)
    found = jax.jit(ciede2000)(
        jnp.asarray(lab, jnp.float32), jnp.asarray(near, jnp.float32)
    )
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_colours_beyond_rgb_keep_their_luminance():
    lab = np.random.default_rng(0).uniform(-120, 120, (400, 3)).astype(np.float32)
    lab[:, 0] = np.random.default_rng(1).uniform(0, 100, 400)
    rgb = np.asarray(jax.jit(fit_into_rgb)(lab))
    assert rgb.min() >= 0 and rgb.max() <= 255
    found = np.asarray(rgb_to_lab(rgb))
    np.testing.assert_allclose(found[:, 0], lab[:, 0], atol=0.1)
    # What fits is left as it is.
    inside = rgb_to_lab(_colors().astype(np.float32))
    np.testing.assert_allclose(fit_into_rgb(inside), _colors(), atol=0.05)
