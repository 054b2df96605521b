"""What commands print about errors in threads and in other processes."""

import pathlib
import subprocess
import sys

import jax
import pytest

from vgg_unpool_jax.runtime import processes

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
LOST = (
    "UNKNOWN: Gloo all-reduce failed: [tcp/pair.cc:538] Connection reset by peer",
    "DEADLINE_EXCEEDED: Barrier timed out. Id: orbax",
    "UNAVAILABLE: Failed to send RPC to coordination service",
)
OWN = (
    "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes, nccl scratch",
    "NCCL operation ncclAllReduce failed: invalid usage",
    "FAILED_PRECONDITION: Barrier is already ongoing. CoordinationServiceError",
)


@pytest.fixture
def one_of_two(monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax, "process_count", lambda: 2)


@pytest.mark.parametrize("said", LOST)
def test_the_loss_of_another_process_is_one_sentence(said, one_of_two):
    sentence = processes.explain_loss(jax.errors.JaxRuntimeError(said))
    assert sentence.startswith("process 0 of 2 lost another one (")
    assert "\n" not in sentence and said in sentence


@pytest.mark.parametrize("said", OWN)
def test_faults_of_this_process_keep_their_traceback(said, one_of_two):
    assert processes.explain_loss(jax.errors.JaxRuntimeError(said)) is None


def test_a_failure_in_threads_that_write_ends_in_one_sentence(bucket):
    bucket.forbidden = "/state/d/|/state/ocdbt"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vgg_unpool_jax", "train"),
            *("--config=vgg19_block1:runlocal", "--workdir=gs://bucket/run"),
            *("--config.num_steps=1", "--config.data.image_size=32"),
            *("--config.evaluation.image_size=32", "--config.loss.ms_ssim=0"),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: a checkpoint cannot be written in gs://bucket/run/checkpoints: "
    )
