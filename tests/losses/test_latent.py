"""Terms of a VAE's loss against SciPy's integrals and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from vgg_unpool_jax.losses import (
    gaussian_log_likelihood,
    half_squared_error,
    kl_to_standard_normal,
    with_free_bits,
)


def test_the_divergence_of_the_prior_from_itself_is_zero():
    np.testing.assert_array_equal(
        kl_to_standard_normal(jnp.zeros((2, 3)), jnp.zeros((2, 3))), np.zeros((2, 3))
    )


@pytest.mark.parametrize(("mean", "log_variance"), [(0.5, -2.0), (-3.0, 1.0), (0, 0.3)])
def test_the_divergence_is_the_integral_of_its_definition(mean, log_variance):
    posterior = scipy.stats.norm(mean, np.exp(log_variance / 2))
    prior = scipy.stats.norm()

    def integrand(z):
        return posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z))

    wanted, _ = scipy.integrate.quad(integrand, -20, 20)
    ours = kl_to_standard_normal(jnp.full((1, 1), mean), jnp.full((1, 1), log_variance))
    np.testing.assert_allclose(ours, [[wanted]], rtol=1e-5)


def test_a_tiny_divergence_keeps_its_digits():
    # ½ (exp(v) - 1 - v) is v²/4 there; exp(v) - 1 in float32 would be off by half.
    ours = kl_to_standard_normal(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-2))
    np.testing.assert_allclose(ours, [[0.25e-4]], rtol=5e-3)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((3,), (3,))])
def test_posteriors_of_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r"one shape \(n, latent_size\)"):
        kl_to_standard_normal(*(jnp.zeros(shape) for shape in shapes))


def test_half_the_sum_of_squares_of_each_photo():
    predictions = jnp.asarray([[[1.0, 2.0]], [[0.0, 5.0]]])
    targets = jnp.asarray([[[0.0, 4.0]], [[0.0, 5.0]]])
    np.testing.assert_allclose(half_squared_error(predictions, targets), [2.5, 0.0])


def test_errors_do_not_broadcast():
    with pytest.raises(ValueError, match=r"\(2, 3\) and targets has shape \(1, 3\)"):
        half_squared_error(jnp.zeros((2, 3)), jnp.zeros((1, 3)))


@pytest.mark.parametrize("std", [0.1, 1.0, 2.5])
def test_the_likelihood_is_that_of_a_normal_distribution(std):
    rng = np.random.default_rng(0)
    targets, predictions = rng.standard_normal((2, 3, 4)).astype(np.float32)
    wanted = scipy.stats.norm(predictions, std).logpdf(targets).sum(axis=1)
    errors = half_squared_error(jnp.asarray(predictions), jnp.asarray(targets))
    ours = gaussian_log_likelihood(errors, jnp.log(std), 4)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_free_bits_are_a_floor_under_the_mean_of_each_dimension():
    kl = jnp.asarray([[0.0, 1.0, 2.0], [0.2, 0.0, 4.0]])  # means 0.1, 0.5, 3
    np.testing.assert_allclose(with_free_bits(kl, 0.0), 3.6, rtol=1e-6)
    np.testing.assert_allclose(with_free_bits(kl, 0.4), 3.9, rtol=1e-6)
    gradient = jax.grad(lambda kl: with_free_bits(kl, 0.4))(kl)
    np.testing.assert_allclose(gradient, [[0.0, 0.5, 0.5]] * 2)
