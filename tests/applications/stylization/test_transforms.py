"""Feature transforms against their formulas in float64, and on what is singular."""

import jax
import numpy as np
import pytest
import scipy.linalg

from vgg_unpool_jax.applications.stylization.transforms import (
    TRANSFORMS,
    AffineMap,
    apply_map,
    make_map,
    mix_maps,
)
from vgg_unpool_jax.ops.moments import measure_sets

H, W, C = 24, 20, 8
ALL = np.ones((1, H, W), np.float32)


def _features(seed, ratio=1.0, scale=1.0, shape=(H, W, C)):
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.standard_normal((shape[-1], shape[-1])))[0]
    mixing = np.linspace(0.5, 2.0, shape[-1])[:, None] * turn
    features = generator.standard_normal(shape) @ mixing + ratio
    return (scale * features).astype(np.float32)


def _measure(features):
    samples = features.reshape(-1, features.shape[-1])
    return measure_sets(samples, np.ones((1, len(samples)), np.float32))


_jitted_make = jax.jit(make_map, static_argnames=("transform", "ridge"))
_apply = jax.jit(apply_map)


def _make(content, style, *, transform="wct", ridge=1e-2, alpha=1.0):
    options = {"transform": transform, "ridge": ridge, "alpha": alpha}
    return _jitted_make(_measure(content), _measure(style), **options)


def _move(content, style, **options):
    weights = np.ones((1, *content.shape[:2]), np.float32)
    return np.asarray(_apply(content, weights, _make(content, style, **options)))


def _mean_and_covariance(features):
    flat = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    return flat.mean(axis=0), np.cov(flat.T, ddof=0)


def _oracle(content, style, transform, ridge):
    """The formulas of the module's docstring, on columns."""
    (_, first), (_, second) = map(_mean_and_covariance, (content, style))
    eye = np.eye(len(first))
    first = first + ridge * np.trace(first) / len(first) * eye
    second = second + ridge * np.trace(second) / len(second) * eye
    root = scipy.linalg.sqrtm
    if transform == "adain":
        return np.diag(np.sqrt(np.diag(second) / np.diag(first)))
    inverse = np.linalg.inv(root(first))
    if transform == "wct":
        return np.real(root(second) @ inverse)
    between = root(root(first) @ second @ root(first))
    return np.real(inverse @ between @ inverse)


def _error(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("ridge", [1e-4, 1e-2])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_maps_are_the_formulas(transform, ridge):
    content, style = _features(0), _features(1, ratio=-3.0, scale=7.0)
    wanted = _oracle(content, style, transform, ridge)
    found = _make(content, style, transform=transform, ridge=ridge)
    assert found.matrix.dtype == found.offset.dtype == np.float32
    assert _error(found.matrix[0].T, wanted) < 1e-4
    offset = _mean_and_covariance(style)[0] - wanted @ _mean_and_covariance(content)[0]
    assert _error(found.offset[0], offset) < 1e-4


@pytest.mark.parametrize("ratio", [0.0, 1000.0])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_mapped_features_have_the_moments_of_the_style(transform, ratio):
    content, style = _features(0, ratio), _features(1, -ratio, scale=3.0)
    found = _move(content, style, transform=transform, ridge=1e-6)
    mean, covariance = _mean_and_covariance(found)
    wanted_mean, wanted = _mean_and_covariance(style)
    deviation = np.sqrt(np.trace(wanted) / C)
    np.testing.assert_allclose(mean, wanted_mean, atol=1e-3 * deviation, rtol=1e-6)
    if transform == "adain":
        np.testing.assert_allclose(np.diag(covariance), np.diag(wanted), rtol=1e-3)
    else:
        assert _error(covariance, wanted) < 1e-3


@pytest.mark.parametrize(("own", "theirs"), [(1e-3, 1e4), (1e4, 1e-3)])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_scale_of_the_features_changes_nothing_but_the_scale(
    transform, own, theirs
):
    content, style = _features(0), _features(1)
    once = _move(content, style, transform=transform)
    found = _move(own * content, theirs * style, transform=transform)
    assert _error(found / theirs, once) < 2e-4


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_alpha_blends_linearly_and_0_changes_no_bit(transform, alpha):
    content, style = _features(0), _features(1, scale=4.0)
    whole = _move(content, style, transform=transform)
    found = _move(content, style, transform=transform, alpha=alpha)
    if alpha == 0.0:
        np.testing.assert_array_equal(found, content)
    assert _error(found, alpha * whole + (1 - alpha) * content) < 1e-5


def test_transport_keeps_what_is_faint_beside_what_is_strong():
    """Eigenvalues from 1 to 1e-4, as those of VGG19: squared, float32 has lost them."""
    spread = np.logspace(0, -2, 64)
    content = _features(0, shape=(40, 40, 64)) * spread
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((64, 64)))[0]
    content = (content @ turn).astype(np.float32)
    found = _make(content, content, transform="ot").matrix[0]
    assert _error(found, np.eye(64)) < 5e-4


def _duplicated(features):
    return np.concatenate([features[..., :4]] * 2, axis=-1)


def _one(features):
    return features[:1, :1]


def _zeros(features):
    return np.zeros_like(features)


def _faint(features):
    return np.float32(1e-20) * (features - features.mean(axis=(0, 1)))


SINGULAR = (_duplicated, _faint, _one, _zeros)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("singular", SINGULAR, ids=lambda made: made.__name__)
def test_singular_features_on_either_side_are_no_trouble(singular, transform):
    plain, other = _features(0), singular(_features(1, ratio=5.0, scale=40.0))
    options = {"transform": transform, "ridge": 1e-2}
    for content, style in ((plain, other), (other, plain), (other, other)):
        found = _move(content, style, **options)
        assert np.isfinite(found).all()
        wanted, covariance = _mean_and_covariance(np.tile(style, (2, 1, 1)))
        spread = np.sqrt(np.trace(np.atleast_2d(covariance)))
        # The mean is always that of the style, the spread never much beyond it.
        np.testing.assert_allclose(
            found.mean(axis=(0, 1)), wanted, atol=1e-3 * (spread + np.abs(wanted).max())
        )
        reached = np.sqrt(np.square(found - wanted).sum(axis=-1).mean())
        assert reached <= 1.1 * spread + 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("transform", ["ot", "wct"])
def test_rank_deficient_content_gets_the_style_where_it_has_variance(transform):
    # Three directions of eight: the formula itself, with its ridge, in float64.
    content = _features(0)
    content = content @ np.diag([1, 1, 1, 0, 0, 0, 0, 0]).astype(np.float32)
    style = _features(1)
    wanted = _oracle(content, style, transform, 1e-2)
    assert _error(_make(content, style, transform=transform).matrix[0].T, wanted) < 1e-3


def test_regions_are_moved_by_their_own_maps():
    generator = np.random.default_rng(4)
    features = _features(0)
    weights = generator.dirichlet(np.ones(3), (H, W)).transpose(2, 0, 1)
    weights = (0.8 * weights).astype(np.float32)  # a fifth stays as it is
    maps = AffineMap(
        generator.standard_normal((3, C, C)).astype(np.float32),
        generator.standard_normal((3, C)).astype(np.float32),
    )
    wanted = 0.2 * features.astype(np.float64)
    for weight, matrix, offset in zip(weights, *maps, strict=True):
        wanted = wanted + weight[..., None] * (features @ matrix + offset)
    found = _apply(features, weights, maps)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # In two groups, too.
    first = _apply(features, weights[:1], AffineMap(*(a[:1] for a in maps)))
    rest = AffineMap(*(a[1:] for a in maps))
    np.testing.assert_allclose(
        _apply(features, weights[1:], rest, first), wanted, atol=1e-4
    )


def test_styles_are_mixed_by_their_shares():
    content, styles = _features(0), [_features(1, scale=3.0), _features(2, ratio=9.0)]
    maps = [_make(content, style) for style in styles]
    found = _apply(content, ALL, mix_maps(maps, [1.0, 3.0]))
    first, second = (_apply(content, ALL, each) for each in maps)
    np.testing.assert_allclose(found, 0.25 * first + 0.75 * second, atol=1e-4)
    only = mix_maps(maps, [0.0, 2.0])
    np.testing.assert_allclose(only.matrix, maps[1].matrix, atol=1e-6)
