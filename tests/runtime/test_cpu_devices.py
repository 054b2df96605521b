"""Cores as devices."""

import os
import subprocess
import sys

import pytest

from vgg_unpool_jax.runtime import cpu_devices

PROGRAM = """
import sys
from vgg_unpool_jax.runtime import cpu_devices
cpu_devices.core_count = lambda: int(sys.argv[1])
import jax
if sys.argv[2] == "late":
    jax.local_device_count()
options = {"most": int(sys.argv[2])} if sys.argv[2].isdecimal() else {}
cpu_devices.device_per_core(*map(int, sys.argv[3:]), **options)
print(jax.local_device_count())
"""


def _devices(cores, most, *batch_sizes, program=PROGRAM, **variables):
    plain = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", **variables}
    environment = {**os.environ, **plain}
    if "JAX_NUM_CPU_DEVICES" not in variables:
        environment.pop("JAX_NUM_CPU_DEVICES", None)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, (cores, most, *batch_sizes))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    ("cores", "most", "batch_sizes", "wanted"),
    [
        (8, "all", (12, 18), 6),
        (8, "all", (7,), 7),
        (4, "all", (7, 5), 1),
        (16, 2, (), 2),
        (64, "all", (64,), 8),
        (4, "late", (4,), 1),
    ],
)
def test_as_many_devices_as_divide_the_batches(cores, most, batch_sizes, wanted):
    assert _devices(cores, most, *batch_sizes) == wanted


@pytest.mark.extended
def test_processes_share_cores_and_batches():
    def devices(cores, batch, **shared):
        program = PROGRAM.replace("**options", f"**options, **{shared}")
        return _devices(cores, "all", batch, program=program)

    assert devices(8, 16, processes=2, here=2) == 4
    assert devices(8, 16, processes=2, here=1) == 8
    assert devices(8, 12, processes=2, here=1) == 6
    # Which the trainer refuses with the numbers.
    assert devices(8, 9, processes=2, here=2) == 1
    # More processes than cores.
    assert devices(2, 12, processes=4, here=4) == 1


def test_what_the_user_said_stands():
    assert _devices(8, "all", 8, JAX_NUM_CPU_DEVICES="3") == 3
    flags = "--xla_force_host_platform_device_count=5"
    assert _devices(8, "all", 8, XLA_FLAGS=flags) == 5


@pytest.mark.parametrize(
    ("quota", "wanted"),
    [("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), (None, 6)],
)
def test_cores_are_those_of_the_process_and_of_its_quota(
    monkeypatch, tmp_path, quota, wanted
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(cpu_devices, "_CPU_QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cpu_devices.core_count() == wanted
