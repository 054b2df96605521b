"""Programs of tests that need several devices."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_on_eight_devices():
    """Runs a file as a program for which the CPU is eight devices."""

    def run(path):
        environment = {"JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": os.getcwd()}
        command, environment = [sys.executable, path], os.environ | environment
        subprocess.run(command, env=environment, check=True, timeout=120)

    return run
