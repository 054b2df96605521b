"""What commands say of errors that come up in threads and in other processes."""

import logging

import jax
import pytest
from absl import logging as absl_logging

from experiments import ending
from vgg_unpool_jax.runtime import processes

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


def test_one_process_alone_loses_none():
    assert processes.explain_loss(jax.errors.JaxRuntimeError(LOST[0])) is None


@pytest.fixture
def says(monkeypatch):
    """A function logger, path, message -> whether it is printed."""
    loggers = (absl_logging.get_absl_logger(), logging.getLogger("asyncio"))
    for logger in loggers:
        monkeypatch.setattr(logger, "filters", list(logger.filters))
    monkeypatch.setattr("sys.unraisablehook", lambda *_: None)
    ending.let_orbax_raise_in_silence()

    def check(logger, path, message):
        caught = (OSError, OSError("no space"), None)
        record = logging.LogRecord(
            logger.name, logging.ERROR, path, 1, message, (), caught
        )
        return bool(logger.filter(record))

    return check


def test_what_orbax_raises_once_more_is_not_printed_twice(says):
    logger, asyncio = absl_logging.get_absl_logger(), logging.getLogger("asyncio")
    orbax = "/site-packages/orbax/checkpoint"
    assert not says(logger, f"{orbax}/_src/futures/future.py", "raised an exception")
    assert not says(asyncio, "/asyncio/events.py", f"never retrieved, {orbax}/a.py")


def test_what_orbax_says_only_once_is_printed(says):
    logger, asyncio = absl_logging.get_absl_logger(), logging.getLogger("asyncio")
    deleting = "/site-packages/orbax/checkpoint/_src/path/storage_backend.py"
    assert says(logger, deleting, "Failed to remove checkpoint")
    assert says(asyncio, "/asyncio/events.py", "never retrieved, /home/me/own.py")
