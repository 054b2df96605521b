"""The VAE's objective: two losses in one forward pass, the ELBO, faults of its source.

The published program measured a sampled code in evaluation and, in its later code, gave
the encoder no gradient of the reconstruction.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from configs.vae import base as vae_configs
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import OUTPUT, TARGET
from vgg_unpool_jax.losses import half_squared_error, kl_to_standard_normal
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.systems.vae.model import VAE
from vgg_unpool_jax.systems.vae.objective import BetaLoss, PublishedLoss, VAEObjective

MODEL = VAE(
    image_size=8,
    latent_size=3,
    encoder_channels=(4, 6),
    decoder_channels=(6, 4),
    hidden_size=10,
    decoder_std=0.25,
)
BATCH = 4
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(0, 255, (BATCH, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def variables(images):
    """Parameters away from the beginning, where many gradients are 0."""
    params, state = VAEObjective(MODEL, BetaLoss(1.0, 0, 0.0)).init(
        KEY, {"image": images}
    )
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: np.asarray(x) + 0.05 * rng.standard_normal(x.shape).astype("float32"),
        params,
    )
    return jax.tree.map(jnp.asarray, params), state


def _loss(objective, variables, images, *, train=True, step=0, key=KEY):
    params, state = variables
    batch = {"image": images} | ({"step": jnp.int32(step)} if train else {})
    losses = jax.jit(objective.losses, static_argnums=4)
    keys = jax.random.split(key, len(images))
    values, aux = losses(params, {**state, "frozen": {}}, batch, keys, train)
    return values.get("all", values), aux


def _noise():
    keys = jax.random.split(KEY, BATCH)
    return jax.vmap(lambda key: jax.random.normal(key, (MODEL.latent_size,)))(keys)


@jax.jit
def _parts(params, state, images):
    """Sums over the batch of error and KL as the published program has them."""
    (outputs, latent), _ = MODEL.apply(
        {"params": params, **state}, images, _noise(), True, mutable=["batch_stats"]
    )
    error = jnp.sum(half_squared_error(outputs / 127.5, images / 127.5))
    kl = jnp.sum(kl_to_standard_normal(latent["mean"], latent["log_variance"]))
    return error, kl


@pytest.mark.parametrize("mean_kl", [True, False])
def test_each_network_descends_its_own_published_loss(images, variables, mean_kl):
    params, state = variables
    objective = VAEObjective(MODEL, PublishedLoss(1e-3, mean_kl, BATCH))
    ours = {
        part: jax.jit(
            jax.grad(lambda p, part=part: _loss(objective, (p, state), images)[0][part])
        )(params)[part]
        for part in ("encoder", "decoder")
    }

    def encoder_loss(params):
        error, kl = _parts(params, state, images)
        return (kl / BATCH if mean_kl else kl) + error

    def decoder_loss(params):
        return 1e-3 * _parts(params, state, images)[0]

    wanted = {
        "encoder": jax.jit(jax.grad(encoder_loss))(params)["encoder"],
        "decoder": jax.jit(jax.grad(decoder_loss))(params)["decoder"],
    }
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(wanted["decoder"]))
    assert largest > 0
    for part in wanted:
        for one, other in zip(
            jax.tree.leaves(ours[part]), jax.tree.leaves(wanted[part]), strict=True
        ):
            scale = float(jnp.abs(other).max())
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * scale)


def test_the_published_losses_are_logged_as_sums_of_the_batch(images, variables):
    params, state = variables
    losses, aux = _loss(
        VAEObjective(MODEL, PublishedLoss(1e-3, True, BATCH)), variables, images
    )
    error, kl = _parts(params, state, images)
    np.testing.assert_allclose(losses["encoder"], kl / BATCH + error, rtol=1e-5)
    np.testing.assert_allclose(losses["decoder"], 1e-3 * error, rtol=1e-5)
    np.testing.assert_allclose(aux.terms["kl"], kl / BATCH, rtol=1e-5)


def test_the_encoder_learns_from_the_reconstruction(images, variables):
    # Without the KL nothing else is left for the encoder to learn from.
    params, state = variables
    gradient = jax.jit(jax.grad(lambda p: _parts(p, state, images)[0]))(params)
    gradient = gradient["encoder"]
    objective = VAEObjective(MODEL, BetaLoss(0.0, 0, 0.0))
    ours = jax.jit(jax.grad(lambda p: _loss(objective, (p, state), images)[0]))(params)
    kernel = ours["encoder"]["conv1"]["kernel"]
    assert float(jnp.abs(kernel).max()) > 0
    # log p(x|z) has the error over σ², and the loss is a mean over photos.
    wanted = gradient["conv1"]["kernel"] / (0.25**2 * BATCH)
    scale = float(jnp.abs(wanted).max())
    np.testing.assert_allclose(kernel, wanted, rtol=1e-3, atol=1e-4 * scale)


def test_the_elbo_is_the_likelihood_of_a_drawn_code_less_the_divergence(
    images, variables
):
    params, state = variables
    total, aux = _loss(VAEObjective(MODEL, BetaLoss(1.0, 0, 0.0)), variables, images)
    (outputs, latent), _ = MODEL.apply(
        {"params": params, **state}, images, _noise(), True, mutable=["batch_stats"]
    )
    normal = scipy.stats.norm(np.asarray(outputs) / 127.5, 0.25)
    likelihood = normal.logpdf(np.asarray(images) / 127.5).sum(axis=(1, 2, 3))
    kl = kl_to_standard_normal(latent["mean"], latent["log_variance"]).sum(axis=1)
    wanted = float(np.mean(likelihood - np.asarray(kl)))
    np.testing.assert_allclose(aux.terms["elbo"], wanted, rtol=1e-4)
    np.testing.assert_allclose(total, -wanted, rtol=1e-4)


def test_the_published_encoder_loss_is_an_elbo_up_to_a_constant(images, variables):
    std = BATCH**-0.5
    model = MODEL.clone(decoder_std=std)
    losses, aux = _loss(
        VAEObjective(model, PublishedLoss(1.0, True, BATCH)), variables, images
    )
    constant = -images[0].size * (np.log(std) + 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(
        losses["encoder"], constant - aux.terms["elbo"], rtol=1e-4
    )


def test_the_divergence_warms_up_over_the_steps(images, variables):
    objective = VAEObjective(MODEL, BetaLoss(2.0, 10, 0.0))
    plain = VAEObjective(MODEL, BetaLoss(0.0, 0, 0.0))
    base, aux = _loss(plain, variables, images)
    for step, beta in ((0, 0.0), (5, 1.0), (10, 2.0), (50, 2.0)):
        total, terms = _loss(objective, variables, images, step=step)
        np.testing.assert_allclose(total, base + beta * aux.terms["kl"], rtol=1e-4)
        np.testing.assert_allclose(terms.terms["beta"], beta)


def test_free_bits_cost_a_constant_where_the_divergence_is_low(images, variables):
    base, _ = _loss(VAEObjective(MODEL, BetaLoss(0.0, 0, 0.0)), variables, images)
    total, _ = _loss(VAEObjective(MODEL, BetaLoss(1.0, 0, 1e4)), variables, images)
    np.testing.assert_allclose(total, base + 3e4, rtol=1e-5)


def test_evaluation_is_the_bare_bound_without_warm_up_and_free_bits(images, variables):
    shaped = VAEObjective(MODEL, BetaLoss(1.0, 1000, 1e4))
    total, aux = _loss(shaped, variables, images[:1], train=False)
    np.testing.assert_allclose(total, -aux.terms["elbo"], rtol=1e-5)
    assert "beta" not in aux.terms


def test_evaluation_decodes_the_mean_and_not_a_sample(images, variables):
    params, state = variables
    objective = VAEObjective(MODEL, BetaLoss(1.0, 0, 0.0))
    rebuilt = [
        _loss(objective, variables, images, train=False, key=jax.random.key(seed))[1]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(
        rebuilt[0].outputs[OUTPUT], rebuilt[1].outputs[OUTPUT]
    )
    wanted, _ = MODEL.apply({"params": params, **state}, images)
    np.testing.assert_allclose(rebuilt[0].outputs[OUTPUT], wanted, rtol=1e-5)
    np.testing.assert_array_equal(rebuilt[0].outputs[TARGET], images)
    # The bound itself is an expectation over codes.
    assert float(rebuilt[0].terms["elbo"]) != float(rebuilt[1].terms["elbo"])


def test_training_draws_codes_and_updates_the_statistics(images, variables):
    objective = VAEObjective(MODEL, BetaLoss(1.0, 0, 0.0))
    totals = [
        float(_loss(objective, variables, images, key=jax.random.key(seed))[0])
        for seed in (0, 1)
    ]
    assert totals[0] != totals[1]
    _, aux = _loss(objective, variables, images)
    assert jax.tree.structure(aux.model_state) == jax.tree.structure(variables[1])
    before, after = (
        tree["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]
        for tree in (variables[1], aux.model_state)
    )
    assert not np.array_equal(before, after)
    _, aux = _loss(objective, variables, images, train=False)
    kept = aux.model_state["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]
    np.testing.assert_array_equal(before, kept)


@pytest.mark.extended
def test_a_learned_standard_deviation_goes_to_that_of_the_errors(images):
    model = MODEL.clone(learn_decoder_std=True)
    objective = VAEObjective(model, BetaLoss(0.0, 0, 0.0))
    params, state = objective.init(KEY, {"image": images})

    def loss(log_std):
        moved = {**params, "decoder": {**params["decoder"], "log_std": log_std}}
        return _loss(objective, (moved, state), images)

    error = loss(jnp.float32(0.0))[1].terms["half_squared_error"]
    best = 0.5 * jnp.log(2 * error / images[0].size)
    slopes = [
        float(jax.grad(lambda s: loss(s)[0])(best + away)) for away in (-0.1, 0, 0.1)
    ]
    assert slopes[0] < -1 and abs(slopes[1]) < 1e-2 and slopes[2] > 1
    np.testing.assert_allclose(loss(best)[1].terms["decoder_std"], jnp.exp(best))


def test_configs_build_both_losses():
    published = make_objective(vae_configs.make_config("samples", "", "runlocal"))
    assert published._loss == PublishedLoss(lambda_mse=1e-6, mean_kl=True, batch_size=2)
    beta = make_objective(vae_configs.make_config("samples", "", "runlocal,beta"))
    assert beta._loss == BetaLoss(beta=1.0, kl_warmup_steps=0, free_bits=0.0)
    assert published.record == {} and published.frozen == {}


@pytest.mark.parametrize(
    ("variant", "field", "value", "match"),
    [
        ("", "loss.name", "gan", "must be 'beta', 'published' or 'deepsim', got 'gan'"),
        (
            "",
            "model.image_size",
            60,
            "model cannot be used: image_size must be",
        ),
        (
            "",
            "model.learn_decoder_std",
            True,
            "must be False with loss.name 'published'",
        ),
        (
            "deepsim",
            "model.learn_decoder_std",
            True,
            "must be False with loss.name 'deepsim'",
        ),
        ("", "loss.name", "beta", "'beta' goes with the fields beta, free_bits, kl_"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(variant, field, value, match):
    config = vae_configs.make_config("samples", "", variant)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=match):
        make_objective(config)
