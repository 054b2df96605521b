"""Eight simulated devices against one."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Runs in a process of its own: the number of devices is fixed when JAX starts.
PROGRAM = """
import json, sys
import jax, ml_collections
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import train_and_evaluate

config = ml_collections.ConfigDict(json.loads(sys.argv[1]))
told = {"devices": jax.device_count(), "refused": []}
for section in ("data", "evaluation") if jax.device_count() > 1 else ():
    wrong = config.copy_and_resolve_references()
    wrong[section].batch_size = 12
    try:
        train_and_evaluate(wrong, sys.argv[2] + "_wrong", max_minutes=0.0)
    except ConfigError as error:
        told["refused"].append(str(error))
told["metrics"] = train_and_evaluate(config, sys.argv[2]).metrics
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def runs(make_config, tmp_path_factory):
    """Number of devices -> (workdir, what the process told)."""
    # Devices draw their own flips, so without flips only rounding differs.
    config = make_config(
        data__flip=False,
        data__batch_size=8,
        evaluation__batch_size=8,
        num_steps=4,
        data__split_fractions=(0.5, 0.5, 0.0),
    )
    folder = tmp_path_factory.mktemp("devices")
    processes = {}
    for devices in (1, 8):
        flags = f"--xla_force_host_platform_device_count={devices}"
        flags = f"{os.environ['XLA_FLAGS']} {flags}"
        processes[devices] = subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM),
                *(json.dumps(config.to_dict()), str(folder / str(devices))),
            ],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    told = {}
    for devices, process in processes.items():
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        told[devices] = (
            folder / str(devices),
            json.loads(output.splitlines()[-1]),
        )
    return told


def test_the_loss_curve_is_that_of_one_device(runs, read_scalars):
    assert [told["devices"] for _, told in runs.values()] == [1, 8]
    one, eight = (read_scalars(workdir) for workdir, _ in runs.values())
    assert one.keys() == eight.keys()
    for name in ("loss", "l1", "l2", "gradient_norm", "parameter_norm"):
        tag = f"train/{name}"
        assert [step for step, _ in eight[tag]] == [1, 2, 3, 4]
        np.testing.assert_allclose(eight[tag], one[tag], rtol=1e-3, err_msg=tag)


def test_validation_is_that_of_one_device(runs):
    one, eight = (told["metrics"] for _, told in runs.values())
    assert one.keys() == eight.keys()
    for name, value in one.items():
        assert eight[name] == pytest.approx(value, rel=1e-3), name


def test_a_batch_that_does_not_divide_is_refused_with_the_numbers(runs):
    assert runs[1][1]["refused"] == []
    assert runs[8][1]["refused"] == [
        f"{section}.batch_size must be a positive multiple of the 8 devices, got 12"
        for section in ("data", "evaluation")
    ]


def test_orbax_reads_a_run_of_eight_devices_on_one(runs):
    """In the plainest way, without a tree or a handler."""
    assert jax.device_count() == 1
    with ocp.CheckpointManager(runs[8][0] / "checkpoints") as manager:
        saved = manager.restore(4)
    assert saved["state"]["step"] == 4
    assert isinstance(saved["state"]["params"]["block1_conv1"]["kernel"], np.ndarray)
    assert "vgg19" in saved["record"]
    assert "step" in saved["checksums"]
