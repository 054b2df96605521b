"""One training step and one evaluation step of any objective."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.optimizers import Optimizer
from vgg_unpool_jax.training.state import TrainState
from vgg_unpool_jax.training.system import RECONSTRUCTION, TARGET, Objective


def make_train_step(
    objective: Objective,
    optimizer: Optimizer,
    augment: Callable,
    *,
    average_decay: float,
) -> Callable:
    """Build the step that the trainer maps over devices.

    Args:
      objective: the system.
      optimizer: its optimizer.
      augment: (keys, images) -> images on the device, a key for each image.
      average_decay: decay of the parameter average; 0 for none.

    Returns:
      step(state, frozen, batch, key) -> (state, metrics): batch holds uint8 "image"
      (n, h, w, 3) and int32 "index" (n,), the photos' numbers; metrics are scalars
      averaged over all devices: the objective's terms, "loss", "gradient_norm",
      "parameter_norm" and the learning rates.
    """

    def step(state: TrainState, frozen, batch, key):
        augment_key, loss_key = jax.random.split(jax.random.fold_in(key, state.step))
        # A photo's draw is its own, whatever device it came to.
        augment_keys = jax.vmap(jax.random.fold_in, (None, 0))(
            augment_key, batch["index"]
        )
        images = augment(augment_keys, as_float(batch["image"]))
        batch = dict(batch, image=images, step=state.step)

        def compute_loss(params):
            model_state = {**state.model_state, "frozen": frozen}
            key = parallel.device_key(loss_key)
            return objective.loss(params, model_state, batch, key, True)

        gradient_fn = jax.value_and_grad(compute_loss, has_aux=True)
        (loss, aux), gradients = gradient_fn(state.params)
        gradients = parallel.average_over_devices(gradients)
        updates, opt_state = optimizer.transformation.update(
            gradients, state.opt_state, state.params
        )
        params = optax.apply_updates(state.params, updates)
        metrics = parallel.average_over_devices({"loss": loss, **aux.terms})
        metrics |= {
            "gradient_norm": optax.tree.norm(gradients),
            "parameter_norm": optax.tree.norm(params),
        }
        for name, schedule in optimizer.learning_rates.items():
            metrics[name] = jnp.asarray(schedule(state.step), jnp.float32)
        new_state = TrainState(
            step=state.step + 1,
            params=params,
            model_state=parallel.average_over_devices(aux.model_state),
            opt_state=opt_state,
            average=_update_average(state, params, average_decay),
        )
        return new_state, metrics

    return step


def _update_average(state: TrainState, params, decay: float):
    if state.average is None:
        return None
    # Early on a long average would remember the initialisation: it grows with the run.
    count = state.step.astype(jnp.float32)
    rate = 1.0 - jnp.minimum(decay, (1.0 + count) / (10.0 + count))
    return optax.incremental_update(params, state.average, rate)


def make_evaluation_step(
    objective: Objective, photo_metrics: Callable, collect: Callable
) -> Callable:
    """Build the function that evaluates photos one by one.

    Every photo's loss and terms are its own, so that they average over any number of
    photos without a batch of another size weighing more.

    Args:
      objective: the system.
      photo_metrics: (reconstructions, targets) -> dict of (n,) arrays.
      collect: outputs -> dict of (n, ...) arrays that are wanted of every photo; see
        `evaluation/reports.Report`.

    Returns:
      evaluate(params, model_state, frozen, batch, key) -> (metrics, collected,
      outputs): metrics is a dict of (n,) arrays, outputs the objective's outputs.
    """

    def evaluate(params, model_state, frozen, batch: Mapping[str, jax.Array], key):
        images = as_float(batch["image"])

        def one_photo(image, key):
            state = {**model_state, "frozen": frozen}
            loss, aux = objective.loss(
                params, state, {"image": image[None]}, key, False
            )
            outputs = jax.tree.map(lambda x: x[0], aux.outputs)
            return {"loss": loss, **aux.terms}, outputs

        # A photo's key is its own, whatever batch or device it came to.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["index"])
        metrics, outputs = jax.vmap(one_photo)(images, keys)
        quality = photo_metrics(outputs[RECONSTRUCTION], outputs[TARGET])
        metrics |= {f"photo_{name}": values for name, values in quality.items()}
        return metrics, collect(outputs), outputs

    return evaluate


def as_float(images: jax.Array) -> jax.Array:
    """uint8 photos as float32 in [0, 255]."""
    return images.astype(jnp.float32)
