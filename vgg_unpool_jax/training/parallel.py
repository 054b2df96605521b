"""Data parallelism with `jax.pmap`, which only this file uses.

The step gets one device's shard of the batch and the whole state. State and metrics
have no device axis (`in_axes=None`, `out_axes=None`): they are equal on all devices
because gradients and metrics are averaged over the axis before they are used. `jax.jit`
over a mesh can replace this file without a change elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from vgg_unpool_jax.errors import ConfigError

DEVICE_AXIS = "devices"

PyTree = Any


def check_batch_size(field: str, batch_size: int) -> None:
    """Raise `ConfigError` unless a global batch can be divided among all devices."""
    devices = jax.device_count()
    if batch_size < 1 or batch_size % devices:
        raise ConfigError(
            f"{field} must be a positive multiple of the {devices} devices, got "
            f"{batch_size}"
        )


def shard_batch(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split a process's batch among its devices.

    Args:
      batch: arrays (n, ...).

    Returns:
      Arrays (local_devices, n / local_devices, ...).
    """
    devices = jax.local_device_count()
    return {k: v.reshape(devices, -1, *v.shape[1:]) for k, v in batch.items()}


def unshard(outputs: PyTree) -> PyTree:
    """Inverse of `shard_batch` for arrays that come out of a device-mapped function."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)


def replicate(tree: PyTree, *, local: bool = False) -> PyTree:
    """Copy a tree to all local devices as a mapped function returns it.

    With `local` other processes are not involved, as in `parallelize_inference`.

    Arrays placed in any other way would make the first step compile twice, and could
    not be donated with several processes.
    """
    if not jax.tree.leaves(tree):  # pmap refuses an empty tree with several processes
        return tree
    identity = jax.pmap(
        lambda tree, _: tree,
        axis_name=DEVICE_AXIS,
        in_axes=(None, 0),
        out_axes=None,
        devices=jax.local_devices() if local else None,
    )
    return identity(tree, np.zeros(jax.local_device_count(), np.int8))


def parallelize_step(step: Callable) -> Callable:
    """Map `step(state, frozen, batch, key) -> (state, metrics)` over devices.

    The batch is sharded; the rest is whole. The state is donated.
    """
    return jax.pmap(
        step,
        axis_name=DEVICE_AXIS,
        in_axes=(None, None, 0, None),
        out_axes=None,
        donate_argnums=0,
    )


def parallelize_evaluation(evaluate: Callable) -> Callable:
    """Map `evaluate(params, model_state, frozen, batch, key) -> outputs` over devices.

    The batch is sharded; outputs keep a leading device axis, see `unshard`.
    """
    return jax.pmap(
        evaluate, axis_name=DEVICE_AXIS, in_axes=(None, None, None, 0, None)
    )


def parallelize_inference(function: Callable) -> Callable:
    """Map `function(variables, images) -> images` over devices, one shard each.

    Variables are whole, see `replicate`; images and outputs have a leading device axis,
    see `shard_batch` and `unshard`. Only the devices of this process are used.
    """
    return jax.pmap(function, in_axes=(None, 0), devices=jax.local_devices())


def average_over_devices(tree: PyTree) -> PyTree:
    """Mean over all devices of all processes; only inside a mapped function."""
    return jax.lax.pmean(tree, DEVICE_AXIS)


def map_divided(
    function: Callable[[jax.Array], jax.Array], arrays: Sequence[jax.Array]
) -> list[jax.Array]:
    """[function(array) for array in arrays], each computed by one device for all.

    Only inside a mapped function, with arrays that are equal on all devices.

    Args:
      function: to an array of the same shape and dtype; without collectives.
      arrays: the largest go first, to one device after the other.
    """
    devices = jax.lax.axis_size(DEVICE_AXIS)
    largest_first = sorted(range(len(arrays)), key=lambda k: -arrays[k].size)
    shares: list[jax.Array] = [None] * len(arrays)
    for rank, k in enumerate(largest_first):
        is_mine = jax.lax.axis_index(DEVICE_AXIS) == rank % devices
        shares[k] = jax.lax.cond(is_mine, function, jnp.zeros_like, arrays[k])
    # One exchange for all: with one exchange per share the devices would take turns.
    return jax.lax.psum(shares, DEVICE_AXIS)


def any_process(flag: bool) -> bool:
    """Whether `flag` is true on any process; all processes must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def this_process() -> dict[str, int]:
    """Arguments by which a loader gives this process its share."""
    return {
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }


def gather_photos(values: PyTree, mask: np.ndarray):
    """Bring per-photo values of all processes together.

    Args:
      values: tree of arrays (n, ...) of this process.
      mask: bool (n,), False for padding.

    Returns:
      The same with the photos of all processes one after the other, on every process.
    """
    values, mask = jax.tree.map(np.asarray, (values, mask))
    if jax.process_count() == 1:
        return values, mask
    return unshard(multihost_utils.process_allgather((values, mask)))
