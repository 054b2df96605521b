"""The matting affinity and the smoothing by it, against NumPy and SciPy in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from vgg_unpool_jax.applications.stylization.matting import (
    _NEIGHBOURS,
    affinity,
    matting_smooth,
    window_counts,
)
from vgg_unpool_jax.errors import UserError

EPS = 1e-7
BETA = 0.9999


def _affinity(guide):
    """W from its definition, sparse float64, (pixels, pixels)."""
    colours = np.asarray(guide, np.float64).reshape(-1, 3) / 255
    height, width, _ = guide.shape
    places = np.arange(height * width).reshape(height, width)
    windows = np.lib.stride_tricks.sliding_window_view(places, (3, 3)).reshape(-1, 9)
    centred = colours[windows] - colours[windows].mean(1, keepdims=True)
    covariance = np.einsum("kpi,kpj->kij", centred, centred) / 9
    inverse = np.linalg.inv(covariance + EPS / 9 * np.eye(3))
    values = (1 + np.einsum("kpi,kij,kqj->kpq", centred, inverse, centred)) / 9
    rows, columns = np.repeat(windows, 9, 1), np.tile(windows, 9)
    # Entries at one place are added up.
    return scipy.sparse.csc_matrix(
        (values.ravel(), (rows.ravel(), columns.ravel())), shape=(places.size,) * 2
    )


def _system(guide, beta, *, symmetric=False):
    weights = _affinity(guide)
    counts = np.ravel(weights.sum(1))
    power = 0.5 if symmetric else 1.0
    left = scipy.sparse.diags(counts**-power)
    right = scipy.sparse.diags(counts ** (power - 1.0))
    identity = scipy.sparse.eye(weights.shape[0])
    return (identity - beta * left @ weights @ right).tocsc()


def _guide(height, width, seed=0):
    """Noise, an edge of two colours, almost flat and flat ground, in 8 bits."""
    rng = np.random.default_rng(seed)
    guide = rng.integers(0, 256, (height, width, 3))
    guide[height // 4 :, : width // 2] = [200, 30, 90]
    guide[height // 4 : height // 2, 2 : width // 3] = [20, 30, 190]
    guide[2 * height // 3 :] = 100
    guide[2 * height // 3 :, width // 2 :] = [101, 100, 100]
    return guide.astype(np.uint8)


def _image(guide, seed=1):
    noise = np.random.default_rng(seed).normal(size=guide.shape)
    return (255 - 0.7 * guide[..., ::-1] + 25 * noise).astype(np.float32)


def test_every_entry_of_the_affinity():
    guide = _guide(12, 15)
    weights = np.asarray(affinity(jnp.asarray(guide, jnp.float32), EPS))
    built = np.zeros((12, 15, 12, 15))
    for weight, (dy, dx) in zip(weights, _NEIGHBOURS, strict=True):
        for y, x in np.ndindex(12, 15):
            if y + dy < 12 and 0 <= x + dx < 15:
                built[y, x, y + dy, x + dx] = built[y + dy, x + dx, y, x] = weight[y, x]
            else:
                assert weight[y, x] == 0
    wanted = _affinity(guide).toarray()
    sums = wanted.sum(1)
    np.testing.assert_allclose(window_counts(12, 15).ravel(), sums, atol=1e-6)
    np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(built.reshape(180, 180), wanted, atol=5e-6)


@pytest.mark.parametrize(
    ("beta", "symmetric"), [(0.9, True), (BETA, False), (BETA, True)]
)
def test_dense_solution_of_a_small_image(beta, symmetric):
    guide = _guide(12, 15)
    image = _image(guide)
    right = (1 - beta) * image.reshape(-1, 3).astype(np.float64)
    matrix = _system(guide, beta, symmetric=symmetric).toarray()
    wanted = np.linalg.solve(matrix, right).reshape(image.shape)
    result = matting_smooth(
        guide, image, beta=beta, tolerance=1e-5, symmetric=symmetric
    )
    assert result.image.dtype == jnp.float32
    np.testing.assert_allclose(result.image, wanted, atol=0.05)
    assert 0 < result.residual <= 1e-5


def test_sparse_solution_and_what_the_tolerance_promises():
    guide = _guide(60, 80)
    image = _image(guide)
    solve = scipy.sparse.linalg.factorized(_system(guide, BETA))
    right = (1 - BETA) * image.astype(np.float64)
    wanted = np.stack([solve(right[..., c].ravel()) for c in range(3)], axis=-1)
    wanted = wanted.reshape(image.shape)
    result = matting_smooth(guide, image)
    assert np.abs(wanted - image).max() > 20
    assert np.abs(result.image - wanted).max() < 0.5
    assert np.abs(result.image - wanted).mean() < 0.02
    fine = matting_smooth(guide, image, tolerance=1e-6)
    assert fine.iterations > result.iterations
    assert np.abs(fine.image - wanted).max() < 0.05


def test_a_constant_image_stays_as_it_is_up_to_the_border():
    guide = _guide(40, 40)
    image = np.full((40, 40, 3), 90.0)
    result = matting_smooth(guide, image, tolerance=1e-5)
    np.testing.assert_allclose(result.image, image, atol=1e-3)


def test_the_published_matrix_keeps_the_root_of_its_row_sums():
    image = 10 * np.sqrt(window_counts(40, 40))[..., None].repeat(3, axis=2)
    result = matting_smooth(_guide(40, 40), image, tolerance=1e-5, symmetric=True)
    np.testing.assert_allclose(result.image, image, atol=1e-3)


def test_a_black_image_is_black():
    result = matting_smooth(_guide(9, 9), np.zeros((9, 9, 3)))
    assert result.iterations == 0 and result.residual == 0
    assert not np.any(result.image)


def test_too_few_iterations_are_an_error_that_tells_the_residual():
    guide = _guide(20, 20)
    with pytest.raises(UserError, match="after 5 of at most 5 iterations"):
        matting_smooth(guide, _image(guide), max_iterations=5)
