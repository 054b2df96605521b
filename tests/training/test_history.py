"""Validations that are remembered, left out, abandoned, or the best."""

import json
import shutil

import pytest

from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import ConfigError, PreemptedError
from vgg_unpool_jax.runtime.preemption import StopRequest
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.history import ValidationHistory
from vgg_unpool_jax.training.trainer import BEST_FOLDER


def test_what_came_after_the_step_of_a_restart_is_forgotten(tmp_path):
    history = ValidationHistory(tmp_path, 0)
    for step, loss, is_best in ((2, 3.0, True), (4, 1.0, True), (6, 2.0, False)):
        assert history.would_be_best({"loss": loss}) == is_best
        history.add(step, {"loss": loss, "photo_psnr": float("inf")})
    again = ValidationHistory(tmp_path, 4)
    assert [step in again for step in (2, 4, 6)] == [True, True, False]
    assert not again.would_be_best({"loss": 1.0})
    assert not again.would_be_best({"loss": float("nan")})
    assert not again.would_be_best({})
    assert again.would_be_best({"loss": 0.5})
    assert again.would_be_best({"psnr": 20.0}, "psnr", "max")
    again.add(6, {"psnr": 20.0})
    assert not again.would_be_best({"psnr": 19.0}, "psnr", "max")
    with pytest.raises(ConfigError, match=r"best_metric must be one of loss .* 'psnr'"):
        again.would_be_best({"loss": 0.5}, "psnr", "max")


def test_a_metric_that_is_no_number_does_not_count_as_the_best(tmp_path):
    history = ValidationHistory(tmp_path, 0)
    history.add(2, {"loss": float("nan")})
    assert history.would_be_best({"loss": 5.0})
    history.add(4, {"loss": 5.0})
    again = ValidationHistory(tmp_path, 4)
    assert again.would_be_best({"loss": 1.0})
    assert not again.would_be_best({"loss": 6.0})


def test_the_best_state_is_of_the_run_that_is_in_the_workdir(
    make_config, tmp_path, uninterrupted
):
    """As where the checkpoints of a run were deleted, to begin again with another."""
    shutil.copytree(uninterrupted.workdir, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoints")
    config = make_config()
    config.num_steps = 2
    result = train_and_evaluate(config, tmp_path)
    with Checkpoints(tmp_path / BEST_FOLDER, create=False) as best:
        assert best.steps() == [2]
    entries = json.loads((tmp_path / "validation.json").read_text())["validations"]
    assert [entry["step"] for entry in entries] == [2]
    assert entries[0]["metrics"]["loss"] == pytest.approx(result.metrics["loss"])


@pytest.mark.extended
def test_a_metric_that_no_validation_has_loses_no_step(make_config, tmp_path):
    config = make_config(
        num_steps=2, evaluation__every_steps=1, checkpoints__best_metric="psnr"
    )
    with pytest.raises(ConfigError, match=r"best_metric must be one of .*'psnr'"):
        train_and_evaluate(config, tmp_path)
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == [1]
    config.checkpoints.best_metric = "photo_l1"
    assert int(train_and_evaluate(config, tmp_path).state.step) == 2


def test_a_run_keeps_its_best_state_as_a_workdir(uninterrupted):
    workdir = uninterrupted.workdir
    entries = json.loads((workdir / "validation.json").read_text())["validations"]
    losses = {entry["step"]: entry["metrics"]["loss"] for entry in entries}
    assert list(losses) == [3, 6]
    with Checkpoints(workdir / BEST_FOLDER, create=False) as best:
        assert best.steps() == [min(losses, key=losses.get)]
    assert load_pair(workdir / BEST_FOLDER).step == min(losses, key=losses.get)


def test_a_validation_that_a_kill_left_out_is_made_up_for(
    make_config, tmp_path, uninterrupted, read_scalars
):
    """As after a kill between the checkpoint of step 3 and its validation."""
    shutil.copytree(uninterrupted.workdir, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoints" / "6")
    shutil.rmtree(tmp_path / BEST_FOLDER)
    shutil.rmtree(tmp_path / "tensorboard")
    (tmp_path / "validation.json").unlink()
    train_and_evaluate(make_config(), tmp_path)
    again, before = read_scalars(tmp_path), read_scalars(uninterrupted.workdir)
    assert again["validation/loss"] == before["validation/loss"]
    assert (tmp_path / "validation.json").read_bytes() == (
        uninterrupted.workdir / "validation.json"
    ).read_bytes()
    assert (tmp_path / BEST_FOLDER / "config.json").exists()


@pytest.mark.extended
def test_a_validation_is_abandoned_and_made_up_for(
    make_config, tmp_path, uninterrupted, read_scalars, monkeypatch
):
    asked = []  # after every batch of a validation

    def noted(self):
        asked.append(self)
        return len(asked) == 1

    monkeypatch.setattr(StopRequest, "noted", noted)
    config = make_config(checkpoints__every_steps=0)
    with pytest.raises(PreemptedError, match="saved step 3 of 6"):
        train_and_evaluate(config, tmp_path)
    assert len(asked) == 1
    assert "validation/loss" not in read_scalars(tmp_path)
    result = train_and_evaluate(config, tmp_path)
    assert result.metrics == uninterrupted.result.metrics
    before = read_scalars(uninterrupted.workdir)
    assert read_scalars(tmp_path)["validation/loss"] == before["validation/loss"]
