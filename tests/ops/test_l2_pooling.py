"""L2 pooling against torch's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops.l2_pooling import l2_pool


def test_it_is_the_root_of_a_smoothed_square():
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    window = np.hanning(5)[1:-1]
    kernel = np.outer(window, window) / np.outer(window, window).sum()
    squares = torch.from_numpy(images**2).permute(0, 3, 1, 2)
    kernel = torch.from_numpy(kernel.astype(np.float32))[None, None].repeat(3, 1, 1, 1)
    wanted = torch.conv2d(squares, kernel, stride=2, padding=1, groups=3)
    wanted = torch.sqrt(wanted + 1e-12).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(jax.jit(l2_pool)(images), wanted, rtol=1e-5)


def test_its_gradient_is_finite_where_everything_is_zero():
    gradient = jax.jit(jax.grad(lambda x: l2_pool(x).sum()))(jnp.zeros((1, 4, 4, 2)))
    np.testing.assert_array_equal(gradient, 0)
