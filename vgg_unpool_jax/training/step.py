"""One training step and one evaluation step of any objective."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.optimizers import Optimizer
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.system import ALL, Objective


def make_train_step(
    objective: Objective,
    optimizer: Optimizer,
    augment: Callable,
    *,
    average_decay: float,
) -> Callable:
    """Build the step that the trainer maps over devices.

    Args:
      objective: the system's.
      optimizer: its optimizer.
      augment: (keys, arrays by name) -> arrays, a key for each photo.
      average_decay: decay of the parameter average; 0 for none.

    Returns:
      step(state, frozen, batch, key) -> (state, metrics): batch holds uint8 "image"
      (n, h, w, 3), int32 "index" (n,), the photos' numbers, and whatever else the
      system's examples hold; metrics are scalars averaged over all devices: the
      objective's terms, "loss" or "PART_loss" of each part, "gradient_norm", also of
      each part that has its own optimizer, "parameter_norm" and the learning rates.
    """

    def step(state: TrainState, frozen, batch, key):
        augment_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step))
        index = batch["index"]
        batch = augment(photo_keys(augment_key, index), as_float(batch))
        batch = dict(batch, step=state.step)

        def losses(params):
            model_state = {**state.model_state, "frozen": frozen}
            keys = photo_keys(loss_key, index)
            return objective.losses(params, model_state, batch, keys, True)

        values, pull_back, aux = jax.vjp(losses, state.params, has_aux=True)
        gradients = _gradients_by_part(
            values, pull_back, state.params, optimizer.frozen
        )
        gradients = parallel.average_over_devices(gradients)
        # Optax mixes integers and floats, which strict promotion refuses.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.transformation.update(
                gradients, state.opt_state, state.params
            )
            params = optax.apply_updates(state.params, updates)
            rates = {
                name: jnp.asarray(schedule(_count(state, name)), jnp.float32)
                for name, schedule in optimizer.learning_rates.items()
            }
        # As they are, whatever the compiler makes of an update of zero (-0 + 0 is 0).
        params = {**params, **{part: state.params[part] for part in optimizer.frozen}}
        params, opt_state = _let_rest(
            aux.active, optimizer, (state.params, state.opt_state), (params, opt_state)
        )
        metrics = parallel.average_over_devices({**_named(values), **aux.terms})
        metrics |= {
            "gradient_norm": optax.tree.norm(gradients),
            **{
                f"gradient_norm/{part}": optax.tree.norm(gradients[part])
                for part in optimizer.parts
                if part not in optimizer.frozen
            },
            "parameter_norm": optax.tree.norm(params),
            **rates,
        }
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=parallel.average_over_devices(aux.model_state),
            opt_state=opt_state,
            average=_update_average(state, params, average_decay),
        )
        return new_state, metrics

    return step


def _count(state: TrainState, rate: str) -> jax.Array:
    """Steps that a part has taken, fewer than the run's if it rested; see Optimizer."""
    _, _, part = rate.partition("/")
    if not part:
        return state.step
    inner = state.opt_state.inner_states[part]
    counts = [value for _, value in optax.tree.get_all_with_path(inner, "count")]
    return counts[0] if counts else state.step  # constant rates need no count


def _gradients_by_part(values, pull_back, params, frozen: tuple[str, ...]):
    """Each part's gradient of its own loss, from one forward pass.

    XLA removes what a pull-back computes of the other parts.
    """
    if set(values) == {ALL}:
        (gradients,) = pull_back({ALL: jnp.ones_like(values[ALL])})
        for part in frozen:
            gradients[part] = jax.tree.map(jnp.zeros_like, params[part])
        return gradients
    if set(values) | set(frozen) != set(params):
        raise ValueError(
            f"the objective must return a loss {ALL!r}, or one for each part that is "
            f"not frozen: the model has the parts {', '.join(sorted(params))}, the "
            f"losses are {', '.join(sorted(values))}, frozen are "
            f"{', '.join(frozen) or 'none'}"
        )
    gradients = {}
    for part in params:
        if part in frozen:
            gradients[part] = jax.tree.map(jnp.zeros_like, params[part])
        else:
            cotangents = {
                name: jnp.full_like(value, float(name == part))
                for name, value in values.items()
            }
            gradients[part] = pull_back(cotangents)[0][part]
    return gradients


def _let_rest(active: Mapping[str, jax.Array], optimizer: Optimizer, old, new):
    """(params, opt_state), the old ones for parts that are not active."""
    if not active:
        return new
    unknown = sorted(set(active) - set(optimizer.parts))
    if unknown:
        raise ValueError(
            f"optimizer.parts must name the parts that may rest, {', '.join(unknown)}: "
            "each needs its own optimizer"
        )
    params, states = dict(new[0]), dict(new[1].inner_states)
    for part, flag in active.items():
        # The same decision on all devices, independent of their shares of the batch.
        flag = parallel.average_over_devices(jnp.float32(flag)) > 0.5
        params[part], states[part] = jax.tree.map(
            lambda x, y, flag=flag: jnp.where(flag, x, y),
            (params[part], states[part]),
            (old[0][part], old[1].inner_states[part]),
        )
    return params, new[1]._replace(inner_states=states)


def _named(values: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {
        "loss" if part == ALL else f"{part}_loss": value
        for part, value in values.items()
    }


def _update_average(state: TrainState, params, decay: float):
    if state.average is None:
        return None
    # The average gets longer with the run, because at first a long one would be
    # dominated by the initialisation.
    count = state.step.astype(jnp.float32)
    rate = 1.0 - jnp.minimum(decay, (1.0 + count) / (10.0 + count))
    return optax.incremental_update(params, state.average, rate)


def make_evaluation_step(objective: Objective, report: Report) -> Callable:
    """Build the function that evaluates photos one by one.

    Losses and terms are computed for each photo separately, so that their mean over the
    photos does not depend on the batch size.

    Args:
      objective: the system's.
      report: the system's.

    Returns:
      evaluate(params, model_state, frozen, batch, key) -> (metrics, collected,
      images): metrics is a dict of (n,) arrays, those of the report with "photo_" in
      front of their names, images the objective's input, output and target.
    """

    def evaluate(params, model_state, frozen, batch: Mapping[str, jax.Array], key):
        def one_photo(example, key):
            state = {**model_state, "frozen": frozen}
            example = jax.tree.map(lambda x: x[None], example)
            values, aux = objective.losses(params, state, example, key[None], False)
            outputs = jax.tree.map(lambda x: x[0], aux.outputs)
            return {**_named(values), **aux.terms}, outputs

        keys = photo_keys(key, batch["index"])
        metrics, outputs = jax.vmap(one_photo)(as_float(batch), keys)
        quality = report.photo_metrics(outputs)
        metrics |= {f"photo_{name}": values for name, values in quality.items()}
        images = {n: outputs[n] for n in (INPUT, OUTPUT, TARGET) if n in outputs}
        return metrics, report.collect(outputs), images

    return evaluate


def photo_keys(key: jax.Array, index: jax.Array) -> jax.Array:
    """A key for each photo (n,), independent of its batch and device."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def as_float(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A batch whose uint8 images (n, h, w, c) are float32 in [0, 255]."""
    return {
        name: array.astype(jnp.float32)
        if array.dtype == jnp.uint8 and array.ndim == 4
        else array
        for name, array in batch.items()
    }
