"""A VAE whose reconstruction term is the DeePSiM loss."""

import jax
import numpy as np
import pytest

from configs.vae import base
from vgg_unpool_jax import load_vae
from vgg_unpool_jax.systems import make_objective, train_and_evaluate


@pytest.fixture(scope="module")
def losses():
    """(config, function of the pause rule's ratio -> losses and Aux of a step)."""
    config = base.make_config("samples", "", "deepsim,runlocal")
    objective = make_objective(config)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
    batch = {"image": images.astype(np.float32), "step": 1}
    params, state = objective.init(jax.random.key(0), batch)
    assert set(params) == {"encoder", "decoder", "discriminator"}
    compute = jax.jit(objective.losses, static_argnums=4)

    def losses(ratio):
        pause = {**state["deepsim"], "discriminator_loss": np.float32(ratio)}
        changed = {**state, "deepsim": pause, "frozen": objective.frozen}
        keys = jax.random.split(jax.random.key(0), 2)
        return compute(params, changed, batch, keys, True)

    return config, losses


@pytest.mark.extended
def test_the_loss_is_deepsim_and_the_divergence(losses):
    config, compute = losses
    values, aux = compute(1.0)
    loss, terms = config.loss, aux.terms
    wanted = loss.beta * terms["kl"] + sum(
        loss[name] * terms[name] for name in ("image", "feature", "adversarial")
    )
    for part in ("encoder", "decoder"):
        np.testing.assert_allclose(values[part], wanted, rtol=1e-5)
    total = terms["discriminator_real"] + terms["discriminator_fake"]
    np.testing.assert_allclose(values["discriminator"], total, rtol=1e-5)


@pytest.mark.extended
@pytest.mark.parametrize("ratio", [0.05, 100.0])
def test_both_networks_of_the_generator_rest_together(losses, ratio):
    flags = {part: bool(flag) for part, flag in losses[1](ratio)[1].active.items()}
    rests = ratio > 1
    assert flags == {
        "encoder": not rests,
        "decoder": not rests,
        "discriminator": rests,
    }


@pytest.mark.extended
def test_it_is_trained_and_loaded_without_its_discriminator(tmp_path):
    config = base.make_config("samples", "", "deepsim,runlocal")
    result = train_and_evaluate(config, tmp_path)
    assert {"elbo", "discriminator_on", "ratio"} <= set(result.metrics)
    vae = load_vae(tmp_path)
    assert set(vae.variables["params"]) == {"encoder", "decoder"}
    path = tmp_path / "vae.safetensors"
    vae.export(path)
    images = np.full((1, 64, 64, 3), 99, np.uint8)
    np.testing.assert_allclose(
        load_vae(path).reconstruct(images), vae.reconstruct(images), atol=1e-4
    )
