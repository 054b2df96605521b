"""Checkpoints, the configs beside them and released decoders, with damage.

Either they hold what was written, or they are refused in one sentence.
"""

import os
import pathlib
import subprocess
import sys

import hypothesis
import jax
import numpy as np
import optax
import pytest
import safetensors
import safetensors.numpy
from flax import traverse_util
from hypothesis import strategies as st

from configs.unpooling import base as unpooling
from tests.faults.damage import (
    assert_documented,
    changed_bytes,
    damaged,
    other_documents,
    relaxed,
)
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import (
    CheckpointError,
    ConfigError,
    ReleaseError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from vgg_unpool_jax.pretrained.recorded import released_record, weights_record
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases.file import KEY, read, write
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.state import create_train_state

pytestmark = pytest.mark.fault("damaged checkpoint metadata and releases")

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

CONFIG = unpooling.make_config(1, "runlocal")
CONFIG.encoder.weights = "random"
WEIGHTS = random_vgg19_weights(0, block=1)
RECORD = {"vgg19": weights_record(WEIGHTS)}


def _variables():
    generator = np.random.default_rng(0)
    shapes = decoder_shapes(1, CONFIG.decoder.to_dict())
    arrays = {n: generator.standard_normal(s, np.float32) for n, s in shapes.items()}
    return traverse_util.unflatten_dict(arrays, sep="/")


@pytest.fixture(autouse=True)
def _nothing_to_download(monkeypatch):
    """A record that names other weights sends nobody to the network."""
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", "http://127.0.0.1:9")


@pytest.mark.extended
def test_a_checkpoint_is_as_written_or_refused(request):
    option = request.config.getoption
    seed = option("--hypothesis-seed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist"),
            *("-p", "no:threadexception", "-p", "no:unraisableexception"),
            f"--hypothesis-profile={option('--hypothesis-profile') or 'fixed'}",
            *([f"--hypothesis-seed={seed}"] if seed else []),
            *("--timeout=3600", "tests/faults/fuzz_checkpoint_files.py"),
        ],
        cwd=CHECKOUT,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "4 passed" in done.stdout


@pytest.mark.extended
def test_a_pair_of_a_damaged_config_is_loaded_or_refused(tmp_path):
    variables = _variables()
    params = variables.pop("params")
    state = create_train_state(params, variables, optax.sgd(0.1), averaged=False)
    with Checkpoints(tmp_path) as saved:
        saved.save(state, RECORD)
    run_config.save(tmp_path, CONFIG)
    assert load_pair(tmp_path).step == 0
    # The last where the config describes another decoder than the checkpoint has.
    errors = (ConfigError, WeightsMismatchError, CheckpointError)

    @relaxed
    @hypothesis.given(other_documents(CONFIG.to_dict()))
    def check(content):
        (tmp_path / run_config.FILE).write_bytes(content)
        assert_documented(lambda: load_pair(tmp_path), errors)

    check()


# --- released decoders ----------------------------------------------------------------


@pytest.fixture(scope="module", params=["float32", "int8"])
def release(request, tmp_path_factory):
    """A released decoder."""
    path = tmp_path_factory.mktemp("release") / "whole.safetensors"
    write(
        path,
        _variables(),
        config=CONFIG.to_dict(),
        pretrained=released_record(WEIGHTS, 1),
        step=6,
        dtype=request.param,
        facts={"hours": 1.5, "photos": {"kinds": [1, "b"]}},
    )
    assert load_pair(path).step == 6
    return path


def test_changed_metadata_of_a_release_are_used_or_refused(release, tmp_path):
    path = tmp_path / "changed.safetensors"
    with safetensors.safe_open(release, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        text = file.metadata()[KEY]
    texts = damaged(text.encode()).map(lambda b: b.decode("utf-8", "replace"))
    # The first if the config describes no decoder.
    errors = (
        ConfigError,
        ReleaseError,
        WeightsMismatchError,
        WeightsUnavailableError,
    )

    @relaxed
    @hypothesis.given(texts)
    def check(text):
        path.write_bytes(safetensors.numpy.save(arrays, {KEY: text}))
        assert_documented(lambda: read(path), (ReleaseError,), path)
        assert_documented(lambda: load_pair(path), errors)

    check()


def test_a_damaged_file_of_a_release_is_refused(release, tmp_path):
    """Its header, its arrays, its length: never another decoder."""
    path = tmp_path / "changed.safetensors"
    content = release.read_bytes()
    header = int.from_bytes(content[:8], "little") + 8
    kinds = (
        changed_bytes(content[:header]).map(lambda head: head + content[header:])
        | changed_bytes(content)
        | st.integers(0, len(content) - 1).map(lambda size: content[:size])
    )
    expected = read(release).variables

    @relaxed
    @hypothesis.given(kinds)
    def check(damaged_content):
        path.write_bytes(damaged_content)
        found = assert_documented(lambda: read(path), (ReleaseError,), path)
        if found is not None:  # such as a letter of the facts
            jax.tree.map(np.testing.assert_array_equal, found.variables, expected)

    check()
