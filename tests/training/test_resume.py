"""A run that was interrupted goes on as if it had not been."""

import contextlib
import json
import logging
import shutil

import jax
import numpy as np
import pytest

from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training import setup
from vgg_unpool_jax.training.checkpoints import Checkpoints


class Interruption(Exception):
    """What stops a run in these tests, as Ctrl-C would."""


@contextlib.contextmanager
def _stopped_after(batches):
    """Training inside stops when it asks for one batch more."""
    make = setup.make_train_loader

    class Loader:
        broken = {}  # noqa: RUF012

        def __init__(self, *args, **kwargs):
            self._inner, self._left = make(*args, **kwargs), batches

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._inner.close()

        def __next__(self):
            if not self._left:
                raise Interruption
            self._left -= 1
            return next(self._inner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "make_train_loader", Loader)
        with pytest.raises(Interruption):
            yield


def _train_scalars(scalars):
    timing = ("train/images_per_second", "train/data_wait")
    return {
        tag: values
        for tag, values in scalars.items()
        if tag.startswith("train/") and tag not in timing
    }


def test_an_interrupted_run_ends_in_the_same_bits(
    make_config,
    tmp_path,
    uninterrupted,
    read_scalars,
    assert_same_tree,
):
    config = make_config()
    with _stopped_after(5):
        train_and_evaluate(config, tmp_path)
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == [3]  # steps after it are done again

    result = train_and_evaluate(config, tmp_path)
    assert int(result.state.step) == 6
    assert_same_tree(result.state, uninterrupted.result.state)
    assert result.metrics == uninterrupted.result.metrics
    # Steps 4 and 5 were logged twice; readers of TensorBoard see them once.
    ours = read_scalars(tmp_path)
    assert _train_scalars(ours) == _train_scalars(read_scalars(uninterrupted.workdir))
    assert [step for step, _ in ours["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_the_average_and_the_optimizer_differ_from_fresh_ones(uninterrupted):
    """The comparison above would hold trivially if they were never updated."""
    state = uninterrupted.result.state
    kernel = np.asarray(state.params["block1_conv2"]["kernel"])
    average = np.asarray(state.average["block1_conv2"]["kernel"])
    assert not np.array_equal(kernel, average)
    moments = jax.tree.leaves(state.opt_state)
    assert all(np.any(moment) for moment in moments)


@pytest.mark.extended
def test_time_boxes_of_one_step_add_up_to_the_whole_run(
    make_config, tmp_path, uninterrupted, assert_same_tree
):
    config, workdir = make_config(), str(tmp_path / "a" / "b")
    for step in (1, 2):
        result = train_and_evaluate(config, workdir, max_minutes=0.0)
        assert int(result.state.step) == step
        assert result.total_steps == 6
        assert result.metrics  # a run that is cut short is evaluated
        with Checkpoints(workdir, create=False) as saved:
            assert saved.latest_step() == step
    result = train_and_evaluate(config, workdir, max_minutes=60.0)
    assert_same_tree(result.state, uninterrupted.result.state)


def test_a_finished_run_started_again_trains_and_logs_nothing(
    make_config,
    tmp_path,
    uninterrupted,
    read_scalars,
    assert_same_tree,
    caplog,
    monkeypatch,
):
    workdir = tmp_path / "copy"
    shutil.copytree(uninterrupted.workdir, workdir)
    # No photo is read to initialise.
    monkeypatch.setattr(setup, "initial_state", None)
    with caplog.at_level(logging.INFO, "vgg_unpool_jax"):
        result = train_and_evaluate(make_config(), workdir)
    assert_same_tree(result.state, uninterrupted.result.state)
    assert result.metrics == uninterrupted.result.metrics
    assert read_scalars(workdir) == read_scalars(uninterrupted.workdir)
    told = [r.getMessage() for r in caplog.records if "resuming" in r.getMessage()]
    assert told == [f"resuming {workdir} at step 6"]


# --- other photos under the same name -------------------------------------------------


def test_a_run_goes_on_with_its_own_photos_alone(make_config, tmp_path, photos):
    folder, workdir = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(photos, folder)
    config = make_config(data__source=f"folder:{folder}")
    train_and_evaluate(config, workdir, max_minutes=0.0)
    names = sorted(path.name for path in folder.iterdir())
    (folder / names[0]).rename(tmp_path / "kept")
    with pytest.raises(ConfigError, match=r"the train photos of folder .* then, .*now"):
        train_and_evaluate(config, workdir, max_minutes=0.0)
    # The same number of others.
    shutil.copy(folder / names[1], folder / "other.png")
    with pytest.raises(ConfigError, match=r"photos of folder .* are not those of the "):
        train_and_evaluate(config, workdir, max_minutes=0.0)
    (folder / "other.png").unlink()
    (tmp_path / "kept").rename(folder / names[0])
    result = train_and_evaluate(config, workdir, max_minutes=0.0)
    assert int(result.state.step) == 2
    (folder / names[0]).unlink()
    (workdir / "photos.json").unlink()
    assert int(train_and_evaluate(config, workdir).state.step) == 6


# --- another config in the same workdir -----------------------------------------------


def test_another_config_is_refused_with_every_differing_field(
    make_config, uninterrupted
):
    other = make_config(optimizer__learning_rate=0.5, data__batch_size=4)
    with pytest.raises(ConfigError) as caught:
        train_and_evaluate(other, uninterrupted.workdir)
    sentence = str(caught.value)
    assert "data.batch_size was 2 and is 4" in sentence
    assert "optimizer.learning_rate was 0.001 and is 0.5" in sentence
    assert str(uninterrupted.workdir) in sentence
    assert "\n" not in sentence
    assert sentence.count(" was ") == 2


def test_fields_that_say_how_fast_may_change(
    make_config, tmp_path, uninterrupted, assert_same_tree
):
    """From a checkpoint in the middle, which later steps must not have written into."""
    workdir = tmp_path / "copy"
    shutil.copytree(uninterrupted.workdir, workdir)
    shutil.rmtree(workdir / "checkpoints" / "6")
    config = make_config(
        data__num_workers=1,
        data__num_threads=1,
        data__prefetch=1,
        log_every_steps=2,
        checkpoints__max_to_keep=2,
    )
    result = train_and_evaluate(config, workdir)
    assert_same_tree(result.state, uninterrupted.result.state)


def test_a_start_that_fails_because_of_its_config_leaves_no_config_behind(
    make_config, tmp_path
):
    with pytest.raises(ConfigError, match="frozen, muon, rmsprop, got 'sgd'"):
        train_and_evaluate(make_config(optimizer__name="sgd"), tmp_path)
    assert not (tmp_path / "config.json").exists()
    train_and_evaluate(make_config(num_steps=1), tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["num_steps"] == 1
    assert stored["optimizer"]["name"] == "adam"


# --- a start from another run's parameters --------------------------------------------


@pytest.mark.extended
def test_a_run_can_start_from_the_averaged_parameters_of_another(
    make_config, tmp_path, uninterrupted, assert_same_tree
):
    other, workdir = tmp_path / "other", tmp_path / "run"
    shutil.copytree(uninterrupted.workdir, other)
    config = make_config(
        initialize_from=str(other),
        optimizer__learning_rate=0.0,
        optimizer__final_learning_rate=0.0,
        num_steps=2,
    )
    result = train_and_evaluate(config, workdir, max_minutes=0.0)
    before = uninterrupted.result.state
    assert_same_tree(result.state.params, before.average)
    # The statistics that those parameters were trained with come along.
    assert_same_tree(result.state.model_state, before.model_state)
    assert int(result.state.step) == 1
    # The other run is needed at the first start only.
    shutil.rmtree(other)
    assert int(train_and_evaluate(config, workdir).state.step) == 2


def test_parameters_of_another_model_are_refused_with_the_fields(
    make_config, tmp_path, uninterrupted
):
    config = make_config(
        initialize_from=str(uninterrupted.workdir),
        decoder__normalize_features=False,
        decoder__output_scale=1.0,
    )
    with pytest.raises(ConfigError) as caught:
        train_and_evaluate(config, tmp_path)
    sentence = str(caught.value)
    assert str(uninterrupted.workdir) in sentence
    assert "decoder.normalize_features was True and is False" in sentence
    assert "decoder.output_scale was 64.0 and is 1.0" in sentence


def test_the_decoder_of_a_deeper_block_starts_with_the_layers_that_both_have(
    make_config, tmp_path, uninterrupted
):
    still = {"optimizer__learning_rate": 0.0, "optimizer__final_learning_rate": 0.0}
    shallow, deep = uninterrupted.result.state, {"encoder__block": 2, "num_steps": 1}
    fresh = train_and_evaluate(make_config(**still, **deep), tmp_path / "fresh")
    config = make_config(
        initialize_shared_from=str(uninterrupted.workdir), **still, **deep
    )
    started = train_and_evaluate(config, tmp_path / "run").state.params
    assert set(shallow.average) == {"block1_conv1", "block1_conv2"}
    release = tmp_path / "block1.safetensors"
    load_pair(uninterrupted.workdir).export(release)
    config.initialize_shared_from = str(release)
    released = train_and_evaluate(config, tmp_path / "released").state.params
    for name, layer in fresh.state.params.items():
        wanted = shallow.average.get(name, layer)
        np.testing.assert_array_equal(started[name]["kernel"], wanted["kernel"])
        np.testing.assert_array_equal(released[name]["kernel"], wanted["kernel"])


@pytest.mark.extended
def test_a_run_goes_on_from_a_released_decoder_of_its_block_with_its_statistics(
    make_config, tmp_path, uninterrupted
):
    release = tmp_path / "block1.safetensors"
    load_pair(uninterrupted.workdir).export(release, dtype="float32")
    config = make_config(
        initialize_shared_from=str(release),
        optimizer__learning_rate=0.0,
        optimizer__final_learning_rate=0.0,
        data__split_seed=1,  # other photos, whose statistics differ
        num_steps=1,
    )
    state = train_and_evaluate(config, tmp_path / "run").state
    trained = uninterrupted.result.state
    np.testing.assert_array_equal(
        state.params["block1_conv2"]["kernel"],
        trained.average["block1_conv2"]["kernel"],
    )
    np.testing.assert_array_equal(
        state.model_state["statistics"]["feature_rms"],
        trained.model_state["statistics"]["feature_rms"],
    )


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, "encoder.block must be 4 or 5"),
        (
            {"encoder__block": 4},
            "initialize_shared_from must name a decoder of block 3",
        ),
    ],
)
@pytest.mark.extended
def test_a_closed_form_that_cannot_be_fitted_is_refused(
    make_config, tmp_path, fields, wanted
):
    config = make_config(initialization="closed_form", **fields)
    with pytest.raises(ConfigError, match=wanted):
        train_and_evaluate(config, tmp_path)
