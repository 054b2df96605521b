"""A folder of small photos, a config that trains on them in seconds, finished runs."""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from configs.unpooling import base as unpooling
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training.trainer import TrainResult

SIDE = 16  # every block divides it, and SSIM's window of 11 fits


@pytest.fixture(scope="session")
def make_config(photos):
    """A function fields -> config of a block-1 run of six steps; nested by dots."""

    def make(block=1, variant="runlocal", **fields):
        config = unpooling.make_config(block, variant)
        config.num_steps = 6
        config.data.source = f"folder:{photos}"
        config.data.image_size = config.evaluation.image_size = SIDE
        config.preparation.image_size = SIDE
        config.loss.ms_ssim = config.loss.perceptual = 0.0
        config.decoder.normalize_features = True
        config.decoder.output_scale = 64.0
        config.optimizer.learning_rate = 1e-3
        config.optimizer.final_learning_rate = 2e-4
        config.optimizer.average_decay = 0.9
        config.checkpoints.every_steps = 3
        config.checkpoints.max_to_keep = 10
        config.evaluation.every_steps = 3
        with config.unlocked():
            config.update_from_flattened_dict(
                {name.replace("__", "."): value for name, value in fields.items()}
            )
        return config

    return make


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    config: object
    workdir: pathlib.Path
    result: TrainResult


@pytest.fixture(scope="session")
def uninterrupted(make_config, tmp_path_factory) -> Run:
    """Six steps without a break; read it, do not write into its folder."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    config = make_config()
    return Run(config, workdir, train_and_evaluate(config, workdir))


@pytest.fixture
def run_processes():
    """A function program, number, arguments -> standard output of each process."""

    def run(program, number, *arguments, devices=1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        flags = f"--xla_force_host_platform_device_count={devices}"
        flags = f"{os.environ['XLA_FLAGS']} {flags}"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, *map(str, arguments)],
                env=os.environ
                | {
                    "VGG_UNPOOL_COORDINATOR": address,
                    "VGG_UNPOOL_PROCESSES": str(number),
                    "VGG_UNPOOL_PROCESS": str(index),
                    "XLA_FLAGS": flags,
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(number)
        ]
        told = [process.communicate(timeout=150) for process in processes]
        for process, (_, errors) in zip(processes, told, strict=True):
            assert process.returncode == 0, errors
        return [output for output, _ in told]

    return run
