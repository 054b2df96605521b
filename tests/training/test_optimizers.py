"""Learning-rate schedule and optimizer against hand values."""

import jax.numpy as jnp
import numpy as np
import pytest

from configs.unpooling import make_config
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.training.optimizers import make_optimizer, make_schedule


def _optimizer_config(**fields):
    config = make_config(1).optimizer
    config.update({"warmup_steps": 0, **fields})
    return config


def test_the_published_schedule_falls_linearly_from_1e_3_to_2e_4():
    assert make_config(1).optimizer.warmup_steps == 500  # in front of it, ours
    schedule = make_schedule(_optimizer_config(), total_steps=1000)
    values = [float(schedule(step)) for step in (0, 250, 500, 1000, 2000)]
    np.testing.assert_allclose(values, [1e-3, 8e-4, 6e-4, 2e-4, 2e-4], rtol=1e-5)


def test_a_warm_up_rises_from_zero_and_the_decay_ends_with_the_run():
    config = _optimizer_config(
        learning_rate=4e-3, final_learning_rate=1e-3, warmup_steps=100
    )
    schedule = make_schedule(config, total_steps=400)
    steps = (0, 50, 100, 250, 400)
    values = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(values, [0, 2e-3, 4e-3, 2.5e-3, 1e-3], rtol=1e-5)


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warm_up_as_long_as_the_run_is_refused_with_both_lengths(warmup):
    config = _optimizer_config(warmup_steps=warmup)
    with pytest.raises(ConfigError, match=rf"less than the 10 steps .* got {warmup}"):
        make_schedule(config, total_steps=10)


def test_adam_makes_the_steps_of_its_paper():
    config = _optimizer_config(
        learning_rate=0.1, final_learning_rate=0.1, b1=0.8, b2=0.95, eps=1e-3
    )
    optimizer = make_optimizer(config, total_steps=5)
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


def test_an_optimizer_that_is_not_there_is_refused_by_name():
    config = _optimizer_config(name="sgd")
    with pytest.raises(ConfigError, match="must be 'adam', got 'sgd'"):
        make_optimizer(config, total_steps=10)
