"""A release from a fresh, a half-trained and a finished run."""

import numpy as np
import pytest

from configs.unpooling.base import make_config
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.file import read_metadata
from vgg_unpool_jax.systems.unpooling import release


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("release")


@pytest.fixture(scope="module")
def config():
    config = make_config(1, "best")
    config.data.source = "samples"
    config.data.split_fractions = (0.6, 0.2, 0.2)
    config.encoder.weights = "random"
    config.convolution = "xla"
    config.num_steps = 3
    config.optimizer.warmup_steps = 0
    config.data.image_size = config.evaluation.image_size = 16
    config.data.batch_size = config.evaluation.batch_size = 8
    config.preparation.image_size = 16
    config.evaluation.num_photos = config.evaluation.num_pictures = 2
    return config


@pytest.fixture(scope="module")
def test_part():
    return Split(make_source("samples"), np.arange(3))


def _release(config, folder, test_part, **options):
    result = release.train(config, folder / "block1", **options)
    files = release.export_release(
        folder / "block1", test_part, {"source": "samples"}, image_size=64
    )
    return int(result.state.step), files


@pytest.fixture(scope="module")
def half(config, folder, test_part):
    step, files = _release(config, folder, test_part, max_minutes=0.0)
    return step, files, json_file.read(folder / "block1" / "results.json")


@pytest.mark.extended
def test_a_half_trained_run_has_a_release_too(half, folder):
    step, files, results = half
    assert step == 1
    assert all(file.exists() for file in files)
    assert read_metadata(files[0])["step"] == 1
    assert results["training_steps"] == 1 and results["training_hours"] > 0
    assert results["training_hardware"]["platform"] == "cpu"
    table = (folder / "table.md").read_text()
    row = next(line for line in table.splitlines() if "block1_conv2" in line)
    assert f"{results['metrics']['l1']['mean']:.3f} (" in row
    assert table.count("not trained yet") == 4
    card = (folder / "vgg19-block1.md").read_text()
    assert "38,659 parameters" in card and 'load_pair("vgg19-block1' in card
    entry = index.read(folder)["vgg19-block1"]
    assert index.locate(entry) == (files[0], "folder")
    assert entry.facts["metrics"]["l1"] == results["metrics"]["l1"]


@pytest.mark.extended
def test_the_same_call_goes_on_and_adds_its_time(half, config, folder, test_part):
    step, files = _release(config, folder, test_part)
    assert step == 3
    assert read_metadata(files[0])["step"] == 3
    after = json_file.read(folder / "block1" / "results.json")
    assert after["training_steps"] == 3
    assert after["training_hours"] > half[2]["training_hours"]
    # And a finished one is released once more, of the same parameters.
    again, (file, *_) = _release(config, folder, test_part)
    assert again == 3
    _same(load_pair(file), load_pair(folder / "block1"), rtol=1e-3)


@pytest.mark.extended
def test_where_rounding_matters_the_decoder_is_stored_as_it_is(
    half, folder, test_part, monkeypatch
):
    monkeypatch.setattr(release, "LARGEST_CHANGE", 0.0)
    file, *_ = release.export_release(folder / "block1", test_part, {}, image_size=64)
    assert read_metadata(file)["dtype"] == "float32"
    _same(load_pair(file), load_pair(folder / "block1"), rtol=0)


def _same(one, other, rtol):
    for layer, params in one.decoder_variables["params"].items():
        wanted = other.decoder_variables["params"][layer]
        np.testing.assert_allclose(
            params["kernel"], wanted["kernel"], rtol=rtol, atol=1e-6 if rtol else 0
        )
