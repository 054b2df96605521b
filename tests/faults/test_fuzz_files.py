"""JSON files of a run: whatever is in them, it is read or refused in one sentence."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis
import pytest

from configs.unpooling import base as unpooling
from tests.faults.damage import HOPELESS, assert_documented, damaged, relaxed
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.unpooling.release import training_facts
from vgg_unpool_jax.systems.unpooling.system import SYSTEM
from vgg_unpool_jax.systems.unpooling.table import read_pair_results, release_table
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.history import ValidationHistory

pytestmark = pytest.mark.fault("damaged config, validations, results")

CONFIG = unpooling.make_config(1, "runlocal")
RESULTS = {
    "metrics": {
        "l1": {"mean": 2.5, "interval": [2.0, 3.0], "photos": 4},
        "psnr": {"mean": "inf", "interval": None, "photos": 4},
    },
    "training_steps": 6,
    "training_hours": 0.1,
    "training_hardware": {"platform": "cpu", "cpu_cores": 2, "cpu_model": "a"},
    "source": "folder:photos",
    "crop": "center",
    "image_size": 64,
    "border_ratio": 1.1,
    "vgg19_weights": {"origin": "a", "sha256": "b", "preprocessing": "caffe"},
    "provenance": {"config": CONFIG.to_dict(), "hardware": {"platform": "gpu"}},
}
VALIDATIONS = {
    "validations": [
        {"step": 2, "metrics": {"loss": 3.0, "photo_psnr": "inf"}},
        {"step": 4, "metrics": {"loss": 1.5}},
    ]
}
ACCOUNT = {"sessions": [{"steps": [0, 3], "hours": 0.5, "hardware": {"a": "b"}}]}


class Reader(NamedTuple):
    """A file, what it should hold, and who reads it."""

    file: str
    content: Any
    read: Callable[[pathlib.Path], Any]


READERS = {
    "config": Reader(run_config.FILE, CONFIG.to_dict(), run_config.read),
    "config to resume": Reader(
        run_config.FILE,
        CONFIG.to_dict(),
        lambda folder: run_config.compare(folder, CONFIG),
    ),
    "config to start from": Reader(
        run_config.FILE,
        CONFIG.to_dict(),
        lambda folder: run_config.compare_models(folder, CONFIG, SYSTEM.model_fields),
    ),
    "validations": Reader(
        "validation.json",
        VALIDATIONS,
        lambda folder: ValidationHistory(folder, 5).would_be_best({"loss": 1.0}),
    ),
    "results for the table": Reader(
        "results.json",
        RESULTS,
        lambda folder: release_table([read_pair_results(folder / "results.json")]),
    ),
    "account of hours": Reader("training_time.json", ACCOUNT, training_facts),
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_by_name(name, tmp_path):
    reader = READERS[name]
    path = tmp_path / reader.file
    whole = json.dumps(reader.content).encode()
    path.write_bytes(whole)
    reader.read(tmp_path)

    @relaxed
    @hypothesis.given(damaged(whole))
    def check(content):
        path.write_bytes(content)
        assert_documented(lambda: reader.read(tmp_path), (ConfigError,), tmp_path)

    check()


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_no_json_is_always_refused(name, tmp_path):
    reader = READERS[name]
    path = tmp_path / reader.file
    for content in (*HOPELESS, None):
        if content is None:  # a folder in its place
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            reader.read(tmp_path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
