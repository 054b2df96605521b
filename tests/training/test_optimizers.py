"""Learning-rate schedule and optimizer against hand values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.unpooling.base import make_config
from configs.vae import base as vae
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.training.muon import muon
from vgg_unpool_jax.training.optimizers import (
    label_parameters,
    make_optimizer,
    make_schedule,
)


def _optimizer_config(**fields):
    config = make_config(1).optimizer
    config.unlock()
    config.update({"warmup_steps": 0, **fields})
    return config


def test_the_published_schedule_falls_linearly_from_1e_3_to_2e_4():
    assert make_config(1).optimizer.warmup_steps == 500  # in front of it, ours
    schedule = make_schedule(_optimizer_config(), 1000, 10.0)
    values = [float(schedule(step)) for step in (0, 250, 500, 1000, 2000)]
    np.testing.assert_allclose(values, [1e-3, 8e-4, 6e-4, 2e-4, 2e-4], rtol=1e-5)


def test_a_warm_up_rises_from_zero_and_the_decay_ends_with_the_run():
    config = _optimizer_config(
        learning_rate=4e-3, final_learning_rate=1e-3, warmup_steps=100
    )
    schedule = make_schedule(config, 400, 10.0)
    steps = (0, 50, 100, 250, 400)
    values = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(values, [0, 2e-3, 4e-3, 2.5e-3, 1e-3], rtol=1e-5)


def test_adam_makes_the_steps_of_its_paper():
    config = _optimizer_config(
        learning_rate=0.1, final_learning_rate=0.1, b1=0.8, b2=0.95, eps=1e-3
    )
    optimizer = make_optimizer(config, 5, 10.0).transformation
    params, gradients = jnp.asarray([1.0]), [3.0, -1.0, 0.5]
    state = optimizer.init(params)
    # Algorithm 1 of arXiv 1412.6980.
    theta, m, v = 1.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        updates, state = optimizer.update(jnp.asarray([gradient]), state, params)
        params = params + updates
        m = 0.8 * m + 0.2 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        m_hat, v_hat = m / (1 - 0.8**t), v / (1 - 0.95**t)
        theta -= 0.1 * m_hat / (np.sqrt(v_hat) + 1e-3)
        np.testing.assert_allclose(params, [theta], rtol=1e-5)


def test_weight_decay_is_part_of_adams_gradient():
    rates = {"learning_rate": 0.1, "final_learning_rate": 0.1}
    decayed = make_optimizer(_optimizer_config(**rates, weight_decay=0.5), 5, 10.0)
    plain = make_optimizer(_optimizer_config(**rates), 5, 10.0)
    params, gradient = jnp.asarray([2.0, -4.0]), jnp.asarray([3.0, 1.0])
    state = decayed.transformation.init(params)
    updates, _ = decayed.transformation.update(gradient, state, params)
    state = plain.transformation.init(params)
    wanted, _ = plain.transformation.update(gradient + 0.5 * params, state, params)
    np.testing.assert_array_equal(updates, wanted)
    # The second gradient, 1 - 0.5 * 4, has turned round.
    assert updates[1] > 0
    with pytest.raises(ConfigError, match=r"optimizer\.weight_decay"):
        make_optimizer(_optimizer_config(weight_decay=-1.0), 5, 10.0)


def test_a_large_gradient_is_clipped_to_its_norm_and_a_small_one_is_not():
    # With eps far above it, a step of Adam's is its rate times the gradient over eps.
    config = _optimizer_config(
        learning_rate=1e3, final_learning_rate=1e3, eps=1e3, clip_norm=2.0
    )
    optimizer = make_optimizer(config, 5, 10.0).transformation
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    for gradient, step in (((3.0, 4.0), (-1.2, -1.6)), ((0.6, 0.8), (-0.6, -0.8))):
        gradients = {"a": jnp.asarray([gradient[0]]), "b": jnp.asarray([gradient[1]])}
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        np.testing.assert_allclose([updates["a"][0], updates["b"][0]], step, rtol=1e-2)


def test_muon_takes_its_fields_from_the_config():
    config = _optimizer_config(
        name="muon", learning_rate=0.1, final_learning_rate=0.1, momentum=0.5
    )
    params = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    gradients = [
        {"kernel": jnp.eye(4) * sign, "bias": params["bias"] + sign}
        for sign in (1.0, -0.6)
    ]
    ends = []
    for optimizer in (
        make_optimizer(config, 5, 10.0).transformation,
        muon(0.1, momentum=0.5, b1=config.b1, b2=config.b2, eps=config.eps),
    ):
        state = optimizer.init(params)
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, params)
        ends.append(updates)
    jax.tree.map(np.testing.assert_array_equal, *ends)
    # 1 then -0.6: the average is -0.1, with Nesterov's look ahead -0.65.
    assert ends[0]["kernel"][0, 0] > 0


def _vae_optimizer_config(variant="", **fields):
    config = vae.make_config("samples", "", variant).optimizer
    config.update(fields)
    return config


def test_the_published_vae_takes_three_quarters_of_the_rate_after_every_epoch():
    # 160 photos in batches of 64: an epoch is 2.5 steps.
    schedule = make_schedule(_vae_optimizer_config(), 100, 160 / 64)
    values = [float(schedule(step)) for step in range(9)]
    wanted = [1e-3 * 0.75**epoch for epoch in (0, 0, 0, 1, 1, 2, 2, 2, 3)]
    np.testing.assert_allclose(values, wanted, rtol=1e-5)


def _one_matrix(value):
    return {"dense": {"kernel": jnp.full((2, 3), value, jnp.float32)}}


def test_rmsprop_agrees_with_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    reference = torch.optim.RMSprop([theirs], lr=1e-3, alpha=0.9, eps=1e-8)
    config = _vae_optimizer_config(schedule="constant")
    del config.parts
    optimizer = make_optimizer(config, 5, 1.0).transformation
    ours = jnp.asarray([1.0, -2.0])
    state = optimizer.init(ours)
    for gradient in ([0.1, -2.0], [3.0, 0.5], [-1e-6, 0.0]):
        theirs.grad = torch.tensor(gradient)
        reference.step()
        updates, state = optimizer.update(jnp.asarray(gradient), state, ours)
        ours = ours + updates
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-6)


def test_each_part_has_its_own_optimizer():
    config = _vae_optimizer_config(schedule="constant", name="adam", b1=0.9, b2=0.999)
    config.parts.encoder.learning_rate = 0.5
    config.parts.decoder.learning_rate = 0.0
    optimizer = make_optimizer(config, 5, 1.0)
    assert {k: float(v(0)) for k, v in optimizer.learning_rates.items()} == {
        "learning_rate/encoder": 0.5,
        "learning_rate/decoder": 0.0,
    }
    params = {"encoder": _one_matrix(1.0), "decoder": _one_matrix(1.0)}
    state = optimizer.transformation.init(params)
    updates, _ = optimizer.transformation.update(params, state, params)
    np.testing.assert_allclose(updates["encoder"]["dense"]["kernel"], -0.5, rtol=1e-5)
    assert not np.any(updates["decoder"]["dense"]["kernel"])


def test_each_parameter_of_the_vae_has_exactly_one_owner():
    config = vae.make_config("samples", "", "runlocal")
    objective = make_objective(config)
    images = jnp.zeros((2, 64, 64, 3))
    params, _ = objective.init(jax.random.key(0), {"image": images})
    parts = tuple(config.optimizer.parts)
    labels = label_parameters(params, parts)
    assert jax.tree.structure(labels) == jax.tree.structure(params)
    for part in parts:
        owned = [label == part for label in jax.tree.leaves(labels[part])]
        assert owned and all(owned)
    state = make_optimizer(config.optimizer, 5, 1.0).transformation.init(params)
    # What the optimizers keep are the squares of each parameter, once, and two counts.
    kept = [x for x in jax.tree.leaves(state) if x.ndim]
    assert sum(x.size for x in kept) == sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "parts",
    [("encoder",), ("encoder", "decoder", "head"), ("encoder", "head")],
    ids=["one is missing", "one owns nothing", "both"],
)
def test_a_parameter_without_an_owner_or_an_owner_without_one_is_refused(parts):
    params = {"encoder": _one_matrix(1.0), "decoder": _one_matrix(1.0)}
    with pytest.raises(ConfigError, match="the model has decoder, encoder, the config"):
        label_parameters(params, parts)
