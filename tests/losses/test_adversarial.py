"""The adversarial losses against SciPy, the pause rule against the published one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vgg_unpool_jax.losses.adversarial import FAKE, REAL, PauseRule, cross_entropy


def test_cross_entropy_equals_scipys():
    logits = np.random.default_rng(0).normal(0, 3, (5, 2)).astype(np.float32)
    wanted = -scipy.special.log_softmax(logits, axis=1)
    for label in (REAL, FAKE):
        found = cross_entropy(jnp.asarray(logits), label)
        np.testing.assert_allclose(found, wanted[:, label].mean(), rtol=1e-6)
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        cross_entropy(jnp.zeros(3), REAL)


def published(ratios):
    """The rule as a loop over iterations, as the authors' program has it."""
    discriminator, generator, found = True, True, []
    for ratio in ratios:
        if ratio < 0.1 and discriminator:
            discriminator, generator = False, True
        if ratio > 0.5 and not discriminator:
            discriminator, generator = True, True
        if ratio > 10 and generator:
            discriminator, generator = True, False
        found.append((discriminator, generator))
    return found


def test_the_pause_rule_is_the_published_one():
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.uniform(np.log(0.02), np.log(40), 400)).astype(np.float32)
    rule = PauseRule()
    decide = jax.jit(rule.decide)
    state, found = rule.initial_state(), []
    assert [bool(x) for x in decide(state)] == [True, True]
    for ratio in ratios:
        state |= {"discriminator_loss": 2 * ratio, "generator_loss": jnp.float32(2)}
        active = decide(state)
        found.append(tuple(bool(x) for x in active))
        state = rule.next_state(active, (jnp.float32(1), jnp.float32(1)))
    assert found == published(ratios)
    # Both rest at times, and between the thresholds the state stays: hysteresis.
    assert {(True, True), (False, True), (True, False)} == set(found)
    between = {
        state for state, ratio in zip(found, ratios, strict=True) if 0.1 < ratio < 0.5
    }
    assert len(between) == 3
    with pytest.raises(ValueError, match="must rise"):
        PauseRule(off=0.6)
