"""Two processes, as on two machines, on this one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from configs import vae
from vgg_unpool_jax.training.checkpoints import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = """
import json, sys
import jax, ml_collections
from vgg_unpool_jax.training.trainer import train_and_evaluate

jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[3], num_processes=2, process_id=int(sys.argv[4]))
config = ml_collections.ConfigDict(json.loads(sys.argv[1]))
result = train_and_evaluate(config, sys.argv[2])
assert jax.process_count() == 2
print(json.dumps(result.metrics))
"""


def _train(config, workdir):
    """Train in two processes; their metrics."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM, json.dumps(config.to_dict())),
                *(str(workdir), address, str(number)),
            ],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    told = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, told, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in told]


@pytest.mark.slow
def test_a_vae_trains_in_two_processes(photos, tmp_path):
    config = vae.make_config(f"folder:{photos}", "", "runlocal")
    config.data.source = f"folder:{photos}"
    config.model.image_size = 16
    config.data.crop = config.evaluation.crop = "center_resize"
    config.data.split_fractions = (0.5, 0.5, 0.0)
    # Six photos: the second batch of evaluation is half padding.
    config.data.batch_size = config.evaluation.batch_size = 4
    config.num_steps, config.checkpoints.every_steps = 2, 1
    one, other = _train(config, tmp_path)
    assert one == other
    assert {"pcc", "elbo", "active_units", "photo_psnr"} <= set(one)
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.latest_step() == 2
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"samples_00000002.png", "validation_00000002.png"} <= pictures
    # One process writes the log.
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
