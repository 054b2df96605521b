"""Statistics of latents against torch and hand-computed values; the t-SNE layout."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.systems.vae.latents import embed_tsne, latent_statistics


def posteriors(n=50, dimensions=6, seed=0):
    rng = np.random.default_rng(seed)
    spread = np.linspace(0, 2, dimensions)
    means = spread * rng.normal(size=(n, dimensions))
    return means, rng.normal(-1, 1, (n, dimensions))


def test_the_divergence_equals_torch():
    torch = pytest.importorskip("torch")
    from torch.distributions import Normal, kl_divergence

    means, log_variances = posteriors()
    posterior = Normal(torch.tensor(means), torch.tensor(log_variances).mul(0.5).exp())
    wanted = kl_divergence(posterior, Normal(0.0, 1.0)).mean(0).numpy()
    found = latent_statistics(means, log_variances)
    np.testing.assert_allclose(found.kl, wanted, rtol=1e-12)
    assert math.isclose(found.total_kl, wanted.sum(), rel_tol=1e-12)


def test_hand_computed_statistics():
    means = np.array([[0.0, 1.0, 0.3], [0.0, -1.0, 0.3]])
    log_variances = np.array([[0.0, 0.0, math.log(4)], [0.0, 0.0, 0.0]])
    found = latent_statistics(means, log_variances)
    # ½ · (µ² + σ² - 1 - ln σ²), mean over the two photos.
    third = (0.5 * (0.09 + 4 - 1 - math.log(4)) + 0.5 * 0.09) / 2
    np.testing.assert_allclose(found.kl, [0, 0.5, third], rtol=1e-14)
    np.testing.assert_allclose(found.variance_of_means, [0, 1, 0], atol=1e-30)
    np.testing.assert_allclose(found.aggregate_mean, [0, 0, 0.3], rtol=1e-14)
    # The third dimension: mean variance 2.5, and its means do not move.
    np.testing.assert_allclose(found.aggregate_variance, [1, 2, 2.5], rtol=1e-14)
    assert found.active.tolist() == [False, True, False]
    assert found.by_kl().tolist() == [1, 2, 0]
    wanted = {"kl": 0.5 + third, "active_units": 1, "kl_largest_dimension": 0.5}
    assert found.scalars() == pytest.approx(wanted, rel=1e-14)


def test_the_aggregate_posterior_equals_its_samples():
    means, log_variances = posteriors(n=20, dimensions=3)
    found = latent_statistics(means, log_variances)
    noise = np.random.default_rng(1).normal(size=(20_000, *means.shape))
    samples = (means + np.exp(log_variances / 2) * noise).reshape(-1, 3)
    np.testing.assert_allclose(found.aggregate_mean, samples.mean(0), atol=0.02)
    np.testing.assert_allclose(found.aggregate_variance, samples.var(0), rtol=0.02)


@pytest.mark.parametrize(("variance", "active"), [(0.0099, 0), (0.0101, 1)])
def test_a_unit_is_active_above_a_variance_of_a_hundredth(variance, active):
    means = math.sqrt(variance) * np.array([[1.0], [-1.0]])
    assert latent_statistics(means, np.zeros((2, 1))).active_units == active


def test_a_prior_collapsed_posterior_has_no_divergence_and_keeps_small_digits():
    found = latent_statistics(np.zeros((3, 2)), np.full((3, 2), 1e-6))
    # e^v - 1 - v is v²/2 for small v, twelve digits below the 1.
    np.testing.assert_allclose(found.kl, 0.25e-12, rtol=1e-3)
    assert found.active_units == 0


def test_everything_goes_into_a_result_file(tmp_path):
    found = latent_statistics(*posteriors()).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["photos"] == 50 and found["dimensions"] == 6
    assert len(found["kl_per_dimension"]) == len(found["variance_of_means"]) == 6
    write_results(tmp_path / "results.json", found)


def test_tsne_keeps_clusters_together_and_repeats_with_its_seed():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 20)
    means = 20 * rng.normal(size=(3, 8))[group] + rng.normal(size=(60, 8))
    points = embed_tsne(means, seed=3)
    assert points.shape == (60, 2) and points.dtype == np.float32
    centres = np.stack([points[group == i].mean(0) for i in range(3)])
    distance = np.linalg.norm(points[:, None] - centres, axis=-1)
    np.testing.assert_array_equal(distance.argmin(axis=1), group)
    np.testing.assert_array_equal(points, embed_tsne(means, seed=3))


@pytest.mark.parametrize(
    "means",
    [
        np.random.default_rng(0).normal(size=(4, 3)),
        np.random.default_rng(0).normal(size=(9, 1)),
        np.outer(np.arange(6.0), np.ones(3)),
        np.ones((10, 5)),
    ],
    ids=["four photos", "one dimension", "on a line", "collapsed"],
)
def test_tsne_survives_few_photos_and_dull_latents(means):
    points = embed_tsne(means, seed=0)
    assert points.shape == (len(means), 2)
    assert np.isfinite(points).all()


def test_evaluation_loads_the_plotting_packages_only_when_it_draws():
    code = "import sys, vgg_unpool_jax.evaluation; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "vgg_unpool_jax.evaluation" in loaded
    assert not loaded & {"matplotlib", "sklearn"}
