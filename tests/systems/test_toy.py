"""A system of one file goes through training, evaluation, release and loading.

Nothing outside `tests/systems/` knows it; see `tests/systems/toy.py`.
"""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.npz import load_npz
from tests.systems import toy
from vgg_unpool_jax import load_pair, systems
from vgg_unpool_jax.data import make_loader, open_splits
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems.results import write_evaluation

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Runs in a process of its own: the number of devices is fixed when JAX starts.
PROGRAM = """
import sys
import jax, numpy as np
from tests.systems import toy
from vgg_unpool_jax import load_pair, systems

systems.register(toy.SYSTEM)
result = systems.train_and_evaluate(toy.make_config(sys.argv[1]), sys.argv[2])
leaves = jax.tree.leaves(jax.device_get(result.state.params))
metrics = [value for _, value in sorted(result.metrics.items())]
np.savez(sys.argv[3], *leaves, devices=jax.device_count(), metrics=metrics)
"""


@pytest.fixture(autouse=True, scope="module")
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "_REGISTERED", {})
        systems.register(toy.SYSTEM)
        yield


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """(config, workdir, result) of a finished run."""
    config = toy.make_config(f"folder:{photos}")
    workdir = tmp_path_factory.mktemp("toy")
    return config, workdir, systems.train_and_evaluate(config, workdir)


def test_it_trains_and_its_critic_rests_half_the_time(run, read_scalars):
    _, workdir, result = run
    history = json_file.read(workdir / "validation.json")["validations"]
    errors = [entry["metrics"]["photo_l1"] for entry in history]
    assert errors[-1] < 0.9 * errors[0]
    counts = {
        part: {int(x) for x in jax.tree.leaves(state) if x.dtype == np.int32}
        for part, state in result.state.opt_state.inner_states.items()
    }
    assert counts == {"model": {6}, "critic": {3}}
    rates = {
        part: read_scalars(workdir)[f"train/learning_rate/{part}"] for part in counts
    }
    # Of the last step, from 0.02 to 0.01 over 6 of a part's own.
    assert rates["model"][-1] == (6, pytest.approx(0.02 - 0.01 * 5 / 6))
    assert rates["critic"][-1] == (6, pytest.approx(0.02 - 0.01 * 3 / 6))
    assert {"model_loss", "critic_loss", "bytes", "photo_l1"} <= set(result.metrics)


def test_the_best_state_is_that_of_the_metric_that_the_config_names(run):
    _, workdir, _ = run
    history = json_file.read(workdir / "validation.json")["validations"]
    best = max(history, key=lambda entry: entry["metrics"]["photo_psnr"])
    assert systems.load_trained(workdir / "best").step == best["step"]


@pytest.mark.extended
def test_an_interrupted_run_ends_in_the_same_bits(run, tmp_path, assert_same_tree):
    config, _, result = run
    for _ in range(3):
        pieces = systems.train_and_evaluate(config, tmp_path, max_minutes=0.0)
    pieces = systems.train_and_evaluate(config, tmp_path)
    assert_same_tree(pieces.state, result.state)


def test_validation_and_evaluation_find_the_same(run):
    config, workdir, result = run
    trained = systems.load_trained(workdir)
    split = open_splits(config.data)["validation"]
    score = trained.evaluate(split, crop=config.evaluation.crop)
    assert score.metrics["l1"].photos == 6
    for name, value in score.scalars().items():
        name = f"photo_{name}" if name in score.metrics else name
        assert value == pytest.approx(result.metrics[name], rel=1e-4), name
    # The model saw the damaged photo; the grid shows it beside the target.
    images = next(iter(score.examples.values()))
    assert 10 < np.abs(images["input"] - images["target"]).mean() < 25
    files = write_evaluation(workdir, trained, score, {"source": "photos"})
    assert json_file.read(files[0])["toy"]["bytes"] > 0
    assert {file.name for file in files} == {
        "results.json",
        "evaluation.png",
        "codes.png",
    }
    assert "compressed outputs" in score.report()


def test_it_is_released_and_loaded_like_the_systems_of_the_package(run, tmp_path):
    config, workdir, _ = run
    trained = systems.load_trained(workdir)
    path = tmp_path / "toy-one.safetensors"
    trained.export(path)
    index.register(path, licence="MIT")
    released = systems.load_trained(path)
    assert released.step == trained.step == 6
    ours, theirs = (jax.tree.leaves(x.params) for x in (trained, released))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    split = open_splits(config.data)["validation"]
    assert released.evaluate(split).scalars() == trained.evaluate(split).scalars()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(index.VARIABLE, str(tmp_path))
        assert systems.load_trained("toy-one").step == 6
    with pytest.raises(ConfigError, match="of the system 'toy'"):
        load_pair(path)


@pytest.mark.extended
def test_damage_depends_neither_on_workers_nor_on_the_photos_beside(photos):
    config = toy.make_config(f"folder:{photos}")
    split = open_splits(config.data)["train"]

    def read(indices, shuffle, workers=0, batch_size=4):
        with make_loader(
            split.source,
            indices,
            batch_size=batch_size,
            image_size=toy.SIDE,
            crop="center",
            make_example=toy.make_example(config, "data"),
            seed=1,
            shuffle=shuffle,
            num_epochs=1,
            num_workers=workers,
        ) as loader:
            batches = list(loader)
        rows = {}
        for batch in batches:
            for row in np.flatnonzero(batch["mask"]):
                rows[int(batch["index"][row])] = batch["input"][row]
        return rows

    everything = np.arange(len(split.source))
    training = read(everything, True)
    workers = read(everything, True, workers=2)
    assert training.keys() == workers.keys()
    for number, image in training.items():
        np.testing.assert_array_equal(image, workers[number])
    # In evaluation a photo looks the same whichever photos are evaluated with it.
    evaluated, few = read(everything, False), read(everything[[5, 2]], False, 0, 1)
    for number, image in few.items():
        np.testing.assert_array_equal(image, evaluated[number])
    # Another seed of the stream, another draw: training is no copy of it.
    assert any((training[i] != evaluated[i]).any() for i in training)


@pytest.mark.extended
def test_draws_and_results_are_the_same_on_one_two_and_eight_devices(
    run, photos, tmp_path
):
    _, _, result = run
    processes = {}
    for devices in (2, 8):
        flags = f"--xla_force_host_platform_device_count={devices}"
        flags = f"{os.environ['XLA_FLAGS']} {flags}"
        processes[devices] = subprocess.Popen(
            [
                *(sys.executable, "-c", PROGRAM, f"folder:{photos}"),
                *(str(tmp_path / str(devices)), str(tmp_path / f"{devices}.npz")),
            ],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": flags},
            stderr=subprocess.PIPE,
            text=True,
        )
    for devices, process in processes.items():
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        found = load_npz(tmp_path / f"{devices}.npz")
        assert found["devices"] == devices
        # Every photo's draw enters the losses: other draws would be other parameters.
        leaves = jax.tree.leaves(jax.device_get(result.state.params))
        for number, leaf in enumerate(leaves):
            np.testing.assert_allclose(found[f"arr_{number}"], leaf, rtol=1e-5)
        metrics = [value for _, value in sorted(result.metrics.items())]
        np.testing.assert_allclose(found["metrics"], metrics, rtol=1e-4)
