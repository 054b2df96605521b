"""One training step and one evaluation step, on a system small enough to check."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from vgg_unpool_jax.data import make_augmentation
from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.optimizers import (
    Optimizer,
    label_parameters,
    make_optimizer,
)
from vgg_unpool_jax.training.state import create_train_state
from vgg_unpool_jax.training.step import make_evaluation_step, make_train_step
from vgg_unpool_jax.training.system import ALL, Aux


class Scaling:
    """output = (gain + noise) · image; loss = mean (output - target)²."""

    def __init__(self, noise=0.0):
        self.frozen = {"target": jnp.float32(3.0)}
        self.record = {}
        self._noise = noise

    def init(self, key, batch):
        return {"gain": jnp.float32(2.0)}, {"seen": jnp.float32(0.0)}

    def losses(self, params, model_state, batch, keys, train):
        noise = jax.vmap(jax.random.normal)(keys)[:, None, None, None]
        outputs = (params["gain"] + self._noise * noise) * batch["image"]
        loss = jnp.mean((outputs - model_state["frozen"]["target"]) ** 2)
        seen = {"seen": model_state["seen"] + (1.0 if train else 100.0)}
        terms = {"mean_output": jnp.mean(outputs)}
        images = batch["image"]
        pictures = {"input": images, "output": outputs, "target": images}
        return {ALL: loss}, Aux(terms, seen, pictures)


def _keep(keys, arrays):
    return dict(arrays)


def _train_step(objective, *, decay=0.0, augment=_keep, rate=0.1):
    return parallel.parallelize_step(
        make_train_step(
            objective,
            Optimizer(
                optax.sgd(rate), {"learning_rate": optax.constant_schedule(rate)}
            ),
            augment,
            average_decay=decay,
        )
    )


def _start(objective, *, averaged=False, rate=0.1):
    params, model_state = objective.init(None, None)
    state = create_train_state(params, model_state, optax.sgd(rate), averaged=averaged)
    return parallel.replicate(state), parallel.replicate(objective.frozen)


def _batch(values):
    images = np.asarray(values, np.uint8).reshape(-1, 1, 1, 1)
    indices = np.arange(len(images), dtype=np.int32)
    return parallel.shard_batch({"image": images, "index": indices})


def test_a_step_follows_the_gradient_and_tells_its_metrics():
    objective = Scaling()
    state, frozen = _start(objective)
    state, metrics = _train_step(objective)(
        state, frozen, _batch([1, 2]), jax.random.key(0)
    )
    # d/dg mean((g·x - 3)²) = mean(2·x·(g·x - 3)) at g = 2, x = 1 and 2: -1 and 2.
    loss, gradient = ((2 - 3) ** 2 + (4 - 3) ** 2) / 2, (-2.0 + 4.0) / 2
    gain = 2.0 - 0.1 * gradient
    np.testing.assert_allclose(state.params["gain"], gain, rtol=1e-6)
    assert int(state.step) == 1
    assert {name: float(v) for name, v in metrics.items()} == pytest.approx(
        {
            "loss": loss,
            "mean_output": 3.0,
            "gradient_norm": abs(gradient),
            "parameter_norm": gain,
            "learning_rate": 0.1,
        },
        rel=1e-5,
    )
    assert state.average is None
    assert float(state.model_state["seen"]) == 1.0


def test_the_average_follows_its_formula():
    objective, decay = Scaling(), 0.15
    state, frozen = _start(objective, averaged=True)
    step = _train_step(objective, decay=decay)
    average = 2.0
    for count in range(4):
        state, _ = step(state, frozen, _batch([1, 2]), jax.random.key(0))
        # Warm-up of the decay: 1/10, 2/11 > 0.15, so only the first step is shorter.
        factor = min(decay, (1 + count) / (10 + count))
        average = factor * average + (1 - factor) * float(state.params["gain"])
        np.testing.assert_allclose(state.average["gain"], average, rtol=1e-5)
    assert float(state.evaluation_params["gain"]) == float(state.average["gain"])


def test_every_step_draws_anew_and_the_same_step_draws_the_same():
    objective = Scaling(noise=1.0)
    step = _train_step(objective, rate=0.0)

    def two_outputs(seed):
        state, frozen = _start(objective, rate=0.0)
        outputs = []
        for _ in range(2):
            state, metrics = step(state, frozen, _batch([1, 1]), jax.random.key(seed))
            outputs.append(float(metrics["mean_output"]))
        return outputs

    first, second = two_outputs(0)
    assert first != second
    assert two_outputs(0) == [first, second]
    assert two_outputs(1)[0] != first


def test_the_flip_mirrors_some_photos_wherever_they_are_in_the_batch():
    class Left(Scaling):
        def losses(self, params, model_state, batch, keys, train):
            losses, aux = super().losses(params, model_state, batch, keys, train)
            left = jnp.zeros(64).at[batch["index"]].set(batch["image"][:, 0, 0, 0])
            return losses, aux.replace(terms={"left": left * jax.device_count()})

    objective = Left()
    images = np.zeros((64, 1, 2, 1), np.uint8)
    images[:, :, 0] = 100
    step = _train_step(objective, augment=make_augmentation(flip=True))

    def left(indices):
        state, frozen = _start(objective)
        batch = {"image": images, "index": np.asarray(indices, np.int32)}
        batch = parallel.shard_batch(batch)
        return np.asarray(step(state, frozen, batch, jax.random.key(0))[1]["left"])

    mirrored = left(range(64))
    assert 20 < mirrored.mean() < 80  # about half of them
    # On another device the same photos are mirrored: a run may go on with more.
    np.testing.assert_array_equal(left(range(63, -1, -1)), mirrored)


def test_a_loss_knows_the_step_of_training():
    class Counting(Scaling):
        def losses(self, params, model_state, batch, keys, train):
            losses, aux = super().losses(params, model_state, batch, keys, train)
            return losses, aux.replace(terms={"step": batch["step"]})

    objective = Counting()
    step = _train_step(objective)
    state, frozen = _start(objective)
    steps = []
    for _ in range(3):
        state, metrics = step(state, frozen, _batch([1, 2]), jax.random.key(0))
        steps.append(float(metrics["step"]))
    assert steps == [0.0, 1.0, 2.0]


# --- evaluation -----------------------------------------------------------------------


def _evaluate(objective, values, indices, seed=0):
    class Corner(Report):
        def photo_metrics(self, outputs):
            difference = jnp.abs(outputs["output"] - outputs["target"])
            return {"error": jnp.mean(difference, axis=(1, 2, 3))}

        def collect(self, outputs):
            return {"corner": outputs["output"][:, 0, 0]}

    evaluate = parallel.parallelize_evaluation(
        make_evaluation_step(objective, Corner())
    )
    params, model_state = objective.init(None, None)
    images = np.asarray(values, np.uint8).reshape(-1, 1, 1, 1)
    batch = {"image": images, "index": np.asarray(indices, np.int32)}
    outputs = evaluate(
        params,
        model_state,
        objective.frozen,
        parallel.shard_batch(batch),
        jax.random.key(seed),
    )
    return jax.device_get(parallel.unshard(outputs))


def test_evaluation_gives_every_photo_its_own_numbers():
    metrics, collected, outputs = _evaluate(Scaling(), [1, 2, 5], [0, 1, 2])
    np.testing.assert_allclose(metrics["loss"], [(2 - 3) ** 2, 1, (10 - 3) ** 2])
    np.testing.assert_allclose(metrics["mean_output"], [2, 4, 10])
    np.testing.assert_allclose(metrics["photo_error"], [1, 2, 5])
    np.testing.assert_allclose(outputs["output"].ravel(), [2, 4, 10])
    np.testing.assert_allclose(outputs["target"].ravel(), [1, 2, 5])
    np.testing.assert_allclose(collected["corner"], [[2], [4], [10]])


def test_a_photo_draws_the_same_in_whatever_batch_it_comes():
    objective = Scaling(noise=1.0)
    together, _, _ = _evaluate(objective, [1, 1, 1], [4, 9, -1])
    swapped, _, _ = _evaluate(objective, [1, 1, 1], [9, 4, 7])
    assert together["loss"][0] == swapped["loss"][1]
    assert together["loss"][1] == swapped["loss"][0]
    assert len(set(together["loss"])) == 3


# --- losses by part -------------------------------------------------------------------


class TwoParts:
    """Two scalars, each pulled to a target of its own; the critic may rest."""

    def __init__(self, active=None):
        self.frozen, self.record, self._active = {}, {}, active

    def init(self, key, batch):
        return {
            "model": {"gain": jnp.float32(2.0), "unused": jnp.float32(-0.0)},
            "critic": {"scale": jnp.float32(-1.0)},
        }, {"count": jnp.float32(0.0)}

    def losses(self, params, model_state, batch, keys, train):
        gain, scale = params["model"]["gain"], params["critic"]["scale"]
        unused = 0.0 * params["model"]["unused"]
        values = {
            "model": (gain * scale - 3.0) ** 2 + unused,
            "critic": -((gain - scale) ** 2),
        }
        state = {"count": model_state["count"] + 1.0}
        active = {} if self._active is None else self._active(model_state["count"])
        return values, Aux({}, state, {}, active)


def _by_part(**names):
    config = ml_collections.ConfigDict(
        {
            "name": "adam",
            "schedule": "constant",
            "learning_rate": 0.1,
            "warmup_steps": 0,
            "b1": 0.9,
            "b2": 0.99,
            "eps": 1e-8,
            "average_decay": 0.0,
            "parts": {
                part: ({"name": names[part]} if part in names else {})
                for part in ("model", "critic")
            },
        }
    )
    return make_optimizer(config, 10, 1.0)


def _states(objective, optimizer, steps):
    """The state after each step, the first one before them."""
    step = parallel.parallelize_step(
        make_train_step(objective, optimizer, _keep, average_decay=0.0)
    )
    params, model_state = objective.init(None, None)
    state = create_train_state(
        params, model_state, optimizer.transformation, averaged=False
    )
    states, metrics = [jax.device_get(state)], {}
    state = parallel.replicate(state)
    for _ in range(steps):
        state, metrics = step(state, {}, _batch([1, 2]), jax.random.key(0))
        states.append(jax.device_get(state))
    return states, metrics


def _bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_each_part_descends_its_own_loss():
    optimizer = _by_part()
    sgd = {part: optax.sgd(0.1) for part in ("model", "critic")}
    sgd = optax.partition(sgd, lambda params: label_parameters(params, tuple(params)))
    optimizer = dataclasses.replace(optimizer, transformation=sgd)
    (_, after), metrics = _states(TwoParts(), optimizer, 1)
    # d/dgain (gain·scale - 3)² = 2·scale·(gain·scale - 3) = 10 at (2, -1);
    # d/dscale -(gain - scale)² = 2·(gain - scale) = 6.
    assert float(after.params["model"]["gain"]) == pytest.approx(2.0 - 1.0)
    assert float(after.params["critic"]["scale"]) == pytest.approx(-1.0 - 0.6)
    assert float(metrics["model_loss"]) == pytest.approx(25.0)
    assert float(metrics["critic_loss"]) == pytest.approx(-9.0)
    assert float(metrics["gradient_norm/model"]) == pytest.approx(10.0)
    assert float(metrics["gradient_norm/critic"]) == pytest.approx(6.0)
    assert float(metrics["gradient_norm"]) == pytest.approx(136**0.5)
    assert "loss" not in metrics


def test_a_resting_part_keeps_parameters_and_optimizer_state_bit_for_bit():
    objective = TwoParts(lambda count: {"critic": count % 2 == 0})
    states, _ = _states(objective, _by_part(), 4)
    for number, (before, after) in enumerate(itertools.pairwise(states)):
        rests = number % 2 == 1
        for pick in (
            lambda state: state.params["critic"],
            lambda state: state.opt_state.inner_states["critic"],
        ):
            assert (_bits(pick(before)) == _bits(pick(after))) == rests
        # The other part takes every step.
        assert _bits(before.params["model"]) != _bits(after.params["model"])
    (counted,) = {
        int(leaf)
        for leaf in jax.tree.leaves(states[-1].opt_state.inner_states["critic"])
        if np.asarray(leaf).dtype == np.int32
    }
    assert counted == 2


def test_a_part_that_the_config_freezes_stays_bit_for_bit():
    states, metrics = _states(TwoParts(), _by_part(model="frozen"), 3)
    assert _bits(states[0].params["model"]) == _bits(states[-1].params["model"])
    assert np.signbit(states[-1].params["model"]["unused"])  # -0 has not become 0
    assert _bits(states[0].params["critic"]) != _bits(states[-1].params["critic"])
    assert "learning_rate/critic" in metrics
    assert "learning_rate/model" not in metrics


def test_losses_and_parts_that_do_not_fit_are_named():
    class Forgetful(TwoParts):
        def losses(self, *args):
            values, aux = super().losses(*args)
            del values["critic"]
            return values, aux

    with pytest.raises(ValueError, match="parts critic, model, the losses are model,"):
        _states(Forgetful(), _by_part(), 1)
    # Without a loss of its own only a part that is frozen.
    _states(Forgetful(), _by_part(critic="frozen"), 1)

    objective = TwoParts(lambda count: {"critic": True})
    alone = Optimizer(optax.adam(0.1), {})
    with pytest.raises(ValueError, match=r"optimizer\.parts must name .* critic: each"):
        _states(objective, alone, 1)
