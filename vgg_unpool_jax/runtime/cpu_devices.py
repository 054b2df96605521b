"""The cores of a CPU, and XLA's use of them."""

import logging
import os
import pathlib

import jax

_FORCE_DEVICES = "xla_force_host_platform_device_count"
_FLAGS = (
    # XLA ends the process when one device waits for another for a minute, which happens
    # in a long step beside other programs: devices that share cores can be late.
    "xla_cpu_collective_call_warn_stuck_timeout_seconds=3600",
    "xla_cpu_collective_call_terminate_timeout_seconds=86400",
    # By default XLA orders operations so that many can run at a time, which a device of
    # one core cannot use: a step takes up to 2.4 times the memory then.
    "xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
)
# Larger numbers were never measured, and each device has a copy of the parameters.
_MOST_DEVICES = 8

_CPU_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")

_LOG = logging.getLogger(__name__)


def device_per_core(
    *batch_sizes: int, most: int = _MOST_DEVICES, processes: int = 1, here: int = 1
) -> None:
    """Make XLA treat the cores of a CPU as devices, as many as divide all batch sizes.

    Many operations of XLA's CPU backend use one core per device; devices run in
    parallel. Must be called before anything else of JAX is used, otherwise it only
    warns. Settings of the user in JAX_NUM_CPU_DEVICES or XLA_FLAGS take precedence.

    Args:
      batch_sizes: the batch sizes that will be divided among the devices.
      most: maximum number of devices in this process.
      processes: number of processes with this number of devices each.
      here: number of processes that share the cores of this machine.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "JAX_NUM_CPU_DEVICES" in os.environ or _FORCE_DEVICES in flags:
        return
    count = max(1, min(core_count() // here, most))
    while count > 1 and any(size % (count * processes) for size in batch_sizes):
        count -= 1
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        _LOG.warning("the cores of the CPU remain one device: %s", error)
        return
    missing = [f"--{flag}" for flag in _FLAGS if flag.split("=")[0] not in flags]
    os.environ["XLA_FLAGS"] = " ".join([*flags.split(), *missing])


def core_count() -> int:
    """Number of cores that this process may use, by affinity and container quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    if _CPU_QUOTA.exists():
        quota, period = _CPU_QUOTA.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count
