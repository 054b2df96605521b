"""Cores as devices."""

import os
import subprocess
import sys

import pytest

from vgg_unpool_jax.cores import core_count

PROGRAM = """
import sys
from vgg_unpool_jax import cores
cores.core_count = lambda: int(sys.argv[1])
most = int(sys.argv[2]) or None
cores.device_per_core(*map(int, sys.argv[3:]), most=most)
import jax
print(jax.local_device_count())
"""


def _devices(cores, most, *batch_sizes, **variables):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (cores, most, *batch_sizes))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize(
    ("cores", "most", "batch_sizes", "wanted"),
    [(8, 0, (12, 18), 6), (8, 0, (7,), 7), (4, 0, (7, 5), 1), (16, 2, (), 2)],
)
def test_as_many_devices_as_divide_the_batches(cores, most, batch_sizes, wanted):
    assert _devices(cores, most, *batch_sizes) == wanted


def test_what_the_user_said_stands():
    assert _devices(8, 0, 8, JAX_NUM_CPU_DEVICES="3") == 3
    flags = "--xla_force_host_platform_device_count=5"
    assert _devices(8, 0, 8, XLA_FLAGS=flags) == 5


def test_the_cores_are_those_of_this_process():
    assert core_count() == len(os.sched_getaffinity(0))
