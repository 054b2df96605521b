"""Memory of this process."""

import ctypes
import pathlib
import sys

import jax


def peak_memory() -> dict[str, int]:
    """Peak memory so far.

    Returns:
      Bytes: "host" is resident memory, if the system reports it (Linux and macOS);
      "device" is the maximum over this process's accelerators, if they report it.
    """
    host = peak_resident_bytes()
    peaks = {} if host is None else {"host": host}
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    if any("peak_bytes_in_use" in found for found in statistics):
        peaks["device"] = max(found.get("peak_bytes_in_use", 0) for found in statistics)
    return peaks


def peak_resident_bytes() -> int | None:
    """Peak resident memory in bytes; None if the system does not report it."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ModuleNotFoundError:  # Windows has none
        return None
    # On Linux this would include the program that the process ran before `exec`.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def return_freed_memory() -> None:
    """Give freed memory that the C library keeps (glibc) back to the system."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
