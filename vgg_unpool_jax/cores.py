"""The cores of a CPU, and XLA's use of them."""

import os

import jax

_FORCE_DEVICES = "xla_force_host_platform_device_count"


def device_per_core(*batch_sizes: int, most: int | None = None) -> None:
    """Have XLA treat the cores of a CPU as devices, as many as divide all batch sizes.

    Many operations of XLA's CPU backend use one core of a device; its devices run side
    by side. Must come before anything else of JAX is used. What the user has said in
    JAX_NUM_CPU_DEVICES or XLA_FLAGS stands.

    Args:
      batch_sizes: that will be divided among the devices.
      most: limit on their number.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ or _FORCE_DEVICES in os.environ.get(
        "XLA_FLAGS", ""
    ):
        return
    count = min(core_count(), most or core_count())
    while any(size % count for size in batch_sizes):
        count -= 1
    jax.config.update("jax_num_cpu_devices", count)


def core_count() -> int:
    """Cores that this process may run on."""
    # In a container or under `taskset` there may be fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
