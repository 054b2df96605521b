"""Two processes, as on two machines, on this one."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from configs.vae import base as vae
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.parallel import PARALLELISMS

ROOT = pathlib.Path(__file__).resolve().parents[2]

PROGRAM = """
import json, logging, sys
import jax, ml_collections
from vgg_unpool_jax.errors import PreemptedError
from vgg_unpool_jax.systems import train_and_evaluate

jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[3], num_processes=2, process_id=int(sys.argv[4]))
# As the commands do; jax's distributed runtime takes the root logger for itself.
logger = logging.getLogger("vgg_unpool_jax")
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler())
config = ml_collections.ConfigDict(json.loads(sys.argv[1]))
try:
    result = train_and_evaluate(config, sys.argv[2])
except PreemptedError as stopped:
    print(json.dumps({"stopped_at": stopped.step}))
else:
    print(json.dumps(result.metrics))
assert jax.process_count() == 2
"""


def _start(config, workdir):
    """Two processes that train together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [
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


def _finish(processes):
    """What each said last."""
    told = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, told, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in told]


def _train(config, workdir):
    """Train in two processes; their metrics."""
    return _finish(_start(config, workdir))


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("parallelism", PARALLELISMS)
def test_a_vae_trains_in_two_processes(photos, tmp_path, parallelism):
    config = vae.make_config(f"folder:{photos}", "", "runlocal")
    config.data.source = f"folder:{photos}"
    config.model.image_size = 16
    config.data.crop = config.evaluation.crop = "center_resize"
    config.data.split_fractions = (0.5, 0.5, 0.0)
    # Six photos: the second batch of evaluation is half padding.
    config.data.batch_size = config.evaluation.batch_size = 4
    config.num_steps, config.checkpoints.every_steps = 2, 1
    config.parallelism = parallelism
    one, other = _train(config, tmp_path)
    assert one == other
    assert {"pcc", "elbo", "active_units", "photo_psnr"} <= set(one)
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.latest_step() == 2
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"samples_00000002.png", "validation_00000002.png"} <= pictures
    # One process writes the log.
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.extended
@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_the_same_step(make_config, tmp_path):
    config = make_config(
        num_steps=20_000, evaluation__every_steps=0, data__batch_size=4
    )
    config.evaluation.batch_size = 4
    config.checkpoints.every_steps = 0
    # What is logged has to fit into a pipe that nobody reads before the end.
    config.log_every_steps = 50
    processes = _start(config, tmp_path)
    for line in processes[1].stderr:
        if "step 50 of" in line:
            break
    processes[1].send_signal(signal.SIGTERM)
    one, other = _finish(processes)
    assert one == other
    assert 50 <= one["stopped_at"] < 20_000
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == [one["stopped_at"]]
