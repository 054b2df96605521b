"""LPIPS and DISTS of feature maps against float64, and by hand."""

import jax
import numpy as np

from vgg_unpool_jax.losses import dists, lpips, lpips_maps


def _features(seed, shapes=((2, 5, 7, 3), (2, 3, 4, 6))):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 2, shape).astype(np.float32) for shape in shapes]


def _coefficients(seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(size=c).astype(np.float32) for c in (3, 6)]


def test_lpips_is_the_weighted_distance_of_directions():
    a, b, heads = _features(0), _features(1), _coefficients(2)
    wanted = 0
    for x, y, head in zip(a, b, heads, strict=True):
        x, y = (v / np.linalg.norm(v.astype(float), axis=-1)[..., None] for v in (x, y))
        wanted += ((x - y) ** 2 * head).sum(-1).mean((1, 2))
    np.testing.assert_allclose(lpips(a, b, heads), wanted, rtol=1e-5)
    maps = lpips_maps(a, b, heads)
    assert [values.shape for values in maps] == [(2, 5, 7), (2, 3, 4)]
    # A direction does not know its length.
    np.testing.assert_allclose(lpips(a, [3 * x for x in a], heads), 0, atol=1e-10)


def test_dists_is_the_authors_formula():
    a, b = _features(0), _features(1)
    alpha, beta = _coefficients(2), _coefficients(3)
    total = sum(c.astype(float).sum() for c in (*alpha, *beta))
    wanted = 1.0
    for x, y, al, be in zip(a, b, alpha, beta, strict=True):
        x, y = x.astype(float), y.astype(float)
        mx, my = x.mean((1, 2)), y.mean((1, 2))
        covariance = (x * y).mean((1, 2)) - mx * my
        s1 = (2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6)
        s2 = (2 * covariance + 1e-6) / (x.var((1, 2)) + y.var((1, 2)) + 1e-6)
        wanted = wanted - (al * s1 + be * s2).sum(-1) / total
    np.testing.assert_allclose(dists(a, b, alpha, beta), wanted, rtol=1e-5)
    np.testing.assert_array_equal(dists(a, a, alpha, beta), 0)


def test_gradients_are_finite_where_features_are_zero_or_equal():
    zeros = [np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 2, 2, 6), np.float32)]
    heads = _coefficients(2)

    @jax.jit
    @jax.grad
    def gradient(x, y):
        # Through a ReLU, as in a network: LPIPS divides by the length.
        positive = list(map(jax.nn.relu, x))
        return (lpips(positive, y, heads) + dists(x, y, heads, heads)).sum()

    for other in (zeros, [np.ones_like(x) for x in zeros]):
        for leaf in jax.tree.leaves(gradient(zeros, other)):
            assert np.isfinite(leaf).all()
