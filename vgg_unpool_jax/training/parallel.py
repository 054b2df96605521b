"""Data parallelism with `jax.pmap`, or `jax.jit` over a mesh; only this file uses them.

The step gets one device's shard of the batch and the whole state. State and metrics
have no device axis: they are equal on all devices because gradients and metrics are
averaged over the axis before they are used.

`config.parallelism` chooses the wrapper, "pmap" or "jit"; the step, the bits of its
result and the checkpoints are the same. With several processes "pmap" returns arrays of
this process's devices, and "jit" global arrays (`NamedSharding` over all devices).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.runtime.memory import return_freed_memory

DEVICE_AXIS = "devices"
PMAP, JIT = "pmap", "jit"
PARALLELISMS = (PMAP, JIT)

PyTree = Any


def parallelism(config: ml_collections.ConfigDict) -> str:
    """One of `PARALLELISMS`, for the argument `by` of the functions below."""
    by = config.get("parallelism", PMAP)
    if by not in PARALLELISMS:
        raise ConfigError(
            f"parallelism must be one of {', '.join(PARALLELISMS)}, got {by!r}"
        )
    return by


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


def replicate(tree: PyTree, *, by: str = PMAP, local: bool = False) -> PyTree:
    """Copy a tree to all devices as a mapped function returns it.

    With `local` other processes are not involved, as in `parallelize_inference`.

    Arrays placed in any other way would make the first step compile twice, and could
    not be donated with several processes.
    """
    if not jax.tree.leaves(tree):  # pmap refuses an empty tree with several processes
        return tree
    devices = {"devices": jax.local_devices()} if local else {}
    identity = _map_over_devices(
        lambda tree, _: tree, (None, 0), None, by=by, **devices
    )
    return identity(tree, np.zeros(jax.local_device_count(), np.int8))


def of_this_process(tree: PyTree) -> PyTree:
    """Global arrays as arrays of this process's devices: their shards or copies."""

    def local(array):
        if not isinstance(array, jax.Array) or array.is_fully_addressable:
            return array
        sharding = array.sharding
        return multihost_utils.global_array_to_host_local_array(
            array, sharding.mesh, sharding.spec
        )

    return jax.tree.map(local, tree)


def parallelize_step(step: Callable, *, by: str = PMAP) -> Callable:
    """Map `step(state, frozen, batch, key) -> (state, metrics)` over devices.

    The batch is sharded; the rest is whole. The state is donated.
    """
    return _map_over_devices(step, (None, None, 0, None), None, by=by, donate_argnums=0)


def compile_ahead(mapped: Callable, *arguments: PyTree) -> None:
    """Compile a mapped function for these arguments, before its first call.

    Compilation frees hundreds of megabytes in pieces in which the arrays of the program
    do not fit. They are given back before those are allocated.
    """
    mapped.lower(*arguments).compile()
    return_freed_memory()


def parallelize_evaluation(evaluate: Callable, *, by: str = PMAP) -> Callable:
    """Map `evaluate(params, model_state, frozen, batch, key) -> outputs` over devices.

    The batch is sharded; outputs are those of this process and keep a leading device
    axis, see `unshard`.
    """
    return _map_over_devices(evaluate, (None, None, None, 0, None), 0, by=by)


def _map_over_devices(
    function: Callable, in_axes: tuple, out_axes: int | None, *, by: str, **options
) -> Callable:
    """A function of `shard_batch`es (axis 0) and of whole arrays (axis None)."""
    if by == JIT:
        return _jit_over_mesh(function, in_axes, out_axes, **options)
    return jax.pmap(
        function, axis_name=DEVICE_AXIS, in_axes=in_axes, out_axes=out_axes, **options
    )


def _jit_over_mesh(function, in_axes, out_axes, **options) -> Callable:
    # In the order of the processes, each of which has its own part of a batch.
    mesh = Mesh(
        sorted(jax.devices(), key=lambda d: (d.process_index, d.id)), DEVICE_AXIS
    )

    def spec(axis):
        return PartitionSpec() if axis is None else PartitionSpec(DEVICE_AXIS)

    in_specs, out_specs = tuple(map(spec, in_axes)), spec(out_axes)

    def one_device(*arguments):
        # A shard has a leading axis of one device, as in the results of `pmap`.
        outputs = function(
            *(
                argument if axis is None else jax.tree.map(lambda x: x[0], argument)
                for argument, axis in zip(arguments, in_axes, strict=True)
            )
        )
        return outputs if out_axes is None else jax.tree.map(lambda x: x[None], outputs)

    # With `check_vma` gradients of whole arrays would be summed over the devices a
    # second time, and their average be refused.
    mapped = jax.shard_map(
        one_device, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
    mapped = jax.jit(
        mapped,
        in_shardings=tuple(NamedSharding(mesh, spec) for spec in in_specs),
        out_shardings=NamedSharding(mesh, out_specs),
        **options,
    )
    if jax.process_count() == 1:
        return mapped

    def of_all(arguments):
        return multihost_utils.host_local_array_to_global_array(
            arguments, mesh, in_specs
        )

    def call(*arguments):
        outputs = mapped(*of_all(arguments))
        return outputs if out_axes is None else of_this_process(outputs)

    call.lower = lambda *arguments: mapped.lower(*of_all(arguments))
    return call


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
