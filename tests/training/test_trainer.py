"""The trainer from outside: what it runs, what it refuses, how it stops."""

import dataclasses
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.data import open_splits, split_indices
from vgg_unpool_jax.errors import CheckpointError, ConfigError, TrainingDivergedError
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.unpooling import system
from vgg_unpool_jax.systems.unpooling.objective import UnpoolingObjective
from vgg_unpool_jax.training import parallel, trainer
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.setup import count_steps


def _compiled(config, workdir, caplog):
    """What XLA is asked for in a run, a line for each function and its types.

    pmap gives all its functions one name; the types tell them apart.
    """
    caplog.clear()
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        train_and_evaluate(config, workdir)
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if line.startswith("Compiling ")]


def test_nothing_is_compiled_again_after_the_first_step(make_config, tmp_path, caplog):
    def run(steps):
        config = make_config(num_steps=steps, evaluation__every_steps=1)
        return _compiled(config, tmp_path / str(steps), caplog)

    run(1)  # operations outside of step and evaluation, which stay compiled
    short, long = run(2), run(4)
    steps = [line for line in short if "uint8[1,2,16,16,3]" in line]
    assert len(steps) == 2  # the step and the evaluation
    assert sorted(long) == sorted(short)


# Those of blocks 3 and 4 train in tests/test_configs.py.
@pytest.mark.parametrize("block", [2, pytest.param(5, marks=pytest.mark.extended)])
def test_the_loss_of_every_block_falls(block, make_config, tmp_path, read_scalars):
    # The two training photos make the one batch of every step, so steps compare.
    config = make_config(
        block,
        data__split_fractions=(1 / 6, 1 / 6, 2 / 3),
        data__flip=False,
        num_steps=4,
        loss__perceptual=0.1 if block == 2 else 0.0,
        optimizer__learning_rate=2e-4,
        optimizer__average_decay=0.0,
        checkpoints__every_steps=4,
        evaluation__every_steps=4,
        evaluation__num_pictures=0,
    )
    result = train_and_evaluate(config, tmp_path)
    losses = [loss for _, loss in read_scalars(tmp_path)["train/loss"]]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.999 * losses[0]
    assert np.isfinite(list(result.metrics.values())).all()


def test_validation_improves_with_training(uninterrupted, read_scalars):
    losses = [v for _, v in read_scalars(uninterrupted.workdir)["validation/loss"]]
    assert losses[-1] < losses[0]


def test_the_averaged_parameters_are_validated(make_config, uninterrupted, tmp_path):
    plain = make_config(optimizer__average_decay=0.0)
    result = train_and_evaluate(plain, tmp_path)
    ours, averaged = result.state, uninterrupted.result.state
    kernels = [state.params["block1_conv2"]["kernel"] for state in (ours, averaged)]
    np.testing.assert_array_equal(*kernels)
    assert result.metrics["loss"] != uninterrupted.result.metrics["loss"]


# --- a run that is not finite ---------------------------------------------------------


def _poison(monkeypatch, step, name, value):
    """From this step on, the gradient (of a term without weight) or a term is bad."""
    make = system.SYSTEM.make_objective

    def make_poisoned(*args):
        objective = make(*args)
        inner = objective.losses

        def losses(params, model_state, batch, keys, train):
            values, aux = inner(params, model_state, batch, keys, train)
            count = model_state["statistics"]["count"]
            bad = jnp.where(count >= step - 1, value, 0.0)
            state = dict(aux.model_state)
            state["statistics"] = dict(state["statistics"], count=count + train)
            terms = dict(aux.terms)
            if name == "loss":
                values = {"all": values["all"] + bad}
            else:
                terms[name] = terms[name] + bad
            return values, aux.replace(terms=terms, model_state=state)

        init = objective.init

        def init_counted(key, batch):
            params, state = init(key, batch)
            state["statistics"]["count"] = jnp.float32(0.0)
            return params, state

        objective.losses, objective.init = losses, init_counted
        return objective

    poisoned = dataclasses.replace(system.SYSTEM, make_objective=make_poisoned)
    monkeypatch.setattr(system, "SYSTEM", poisoned)


@pytest.mark.parametrize(
    ("name", "value"), [("loss", float("nan")), ("l2", float("inf"))]
)
def test_a_loss_or_term_that_is_not_finite_stops_the_run_and_names_the_step(
    name, value, make_config, tmp_path, monkeypatch
):
    _poison(monkeypatch, 5, name, value)
    # Seen at step 5 although the log comes at step 6 only, before that step is saved.
    config = make_config(log_every_steps=100)
    with pytest.raises(TrainingDivergedError) as caught:
        train_and_evaluate(config, tmp_path)
    sentence = str(caught.value)
    assert f"training stopped at step 5: {name} is {value}" in sentence
    assert "the newest checkpoint, of step 3, is from before" in sentence
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == [3]
        params, _, _ = saved.restore_for_inference()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_parameters_that_run_away_stop_the_run_before_they_are_saved(
    make_config, tmp_path
):
    config = make_config(
        optimizer__learning_rate=1e30, optimizer__final_learning_rate=1e30
    )
    with pytest.raises(
        TrainingDivergedError, match=r"stopped at step [12]: "
    ) as caught:
        train_and_evaluate(config, tmp_path)
    assert str(caught.value).endswith("there is no checkpoint yet")
    with Checkpoints(tmp_path, create=False) as saved:
        assert saved.steps() == []


# --- configs that cannot be trained with ----------------------------------------------


def test_the_length_is_given_in_steps_or_in_epochs(make_config):
    steps = make_config(num_steps=7, num_epochs=0.0)
    assert count_steps(steps, num_photos=1000) == 7
    epochs = make_config(num_steps=0, num_epochs=2.5, data__batch_size=4)
    assert count_steps(epochs, num_photos=100) == 62  # 250 photos, 62.5 batches
    assert count_steps(epochs, num_photos=1) == 1


@pytest.mark.parametrize("section", ["data", "evaluation"])
def test_a_size_that_the_encoder_cannot_take_is_refused_at_the_start(
    section, make_config, tmp_path
):
    config = make_config(5, **{f"{section}__image_size": 20})
    with pytest.raises(ConfigError) as caught:
        train_and_evaluate(config, tmp_path)
    assert f"{section}.image_size is 20: " in str(caught.value)
    assert "multiples of 16" in str(caught.value)


def test_an_evaluation_too_small_for_ms_ssim_is_refused_at_the_start(
    make_config, tmp_path
):
    config = make_config(
        loss__ms_ssim=1.0, data__image_size=176, evaluation__image_size=160
    )
    with pytest.raises(ConfigError, match=r"evaluation.image_size is 160: .*176"):
        train_and_evaluate(config, tmp_path)


def test_a_checkpoint_of_another_block_in_the_workdir_is_refused_with_the_shapes(
    make_config, tmp_path, uninterrupted
):
    """As when somebody puts the checkpoints of one run into the folder of another."""
    (tmp_path / "checkpoints").symlink_to(uninterrupted.workdir / "checkpoints")
    config = make_config(decoder__normalize_features=False)
    with pytest.raises(CheckpointError) as caught:
        train_and_evaluate(config, tmp_path)
    assert "does not fit the model of this config" in str(caught.value)
    assert "feature_rms is (64,) in the checkpoint" in str(caught.value)


# --- photos ---------------------------------------------------------------------------


def test_a_run_without_validation_photos_has_no_metrics(make_config, tmp_path):
    config = make_config(
        num_steps=1, data__split_fractions=(1.0, 0.0, 0.0), evaluation__num_pictures=0
    )
    assert train_and_evaluate(config, tmp_path).metrics == {}
    assert not (tmp_path / "pictures").exists()


def test_validation_uses_as_many_photos_as_the_config_says(
    make_config, tmp_path, caplog
):
    config = make_config(
        num_steps=1,
        data__split_fractions=(0.5, 0.5, 0.0),
        evaluation__num_photos=5,  # the last batch of two is padded
        evaluation__num_pictures=3,
    )
    with caplog.at_level(logging.INFO, "vgg_unpool_jax"):
        train_and_evaluate(config, tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("step 1, validation on 5 photos: ") for line in lines)


def test_unreadable_validation_photos_end_no_run(make_config, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    config = make_config(
        num_steps=1,
        data__source=f"folder:{folder}",
        data__split_fractions=(0.5, 0.5, 0.0),
        data__max_broken_share=1.0,
    )
    for index in open_splits(config.data)["validation"].indices:
        path = sorted(folder.iterdir())[index]
        path.write_bytes(path.read_bytes()[:60])
    assert train_and_evaluate(config, tmp_path / "run").metrics == {}
    pictures = [path.name for path in (tmp_path / "run" / "pictures").iterdir()]
    assert pictures == ["train_00000001.png"]


# --- parallel -------------------------------------------------------------------------


def test_sharding_and_unsharding_keep_the_order():
    batch = {"image": np.arange(6 * jax.local_device_count()).reshape(-1, 1)}
    sharded = parallel.shard_batch(batch)
    assert sharded["image"].shape == (jax.local_device_count(), 6, 1)
    np.testing.assert_array_equal(parallel.unshard(sharded)["image"], batch["image"])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("encoder__block", 6, "block must be 1, 2, 3, 4 or 5, got 6"),
        ("data__crop", "centre", "data.crop must be one of .*, got 'centre'"),
        (
            "evaluation__crop",
            "whole",
            "evaluation.crop is 'whole', but photos of a run",
        ),
        ("system", "vea", "config.system must be one of .*unpooling, vae, got 'vea'"),
        ("loss__l1", -1.0, "loss coefficients must not be negative"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_at_the_start(
    field, value, words, make_config, tmp_path
):
    with pytest.raises(ConfigError, match=words):
        train_and_evaluate(make_config(**{field: value}), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_what_fails_in_training_alone_is_refused_at_the_start(
    make_config, tmp_path, monkeypatch
):
    losses = UnpoolingObjective.losses

    def fail(self, params, model_state, batch, keys, train):
        if train:
            raise ValueError(f"no {batch['image'].shape[1]} at {batch['step'].dtype}")
        return losses(self, params, model_state, batch, keys, train)

    monkeypatch.setattr(UnpoolingObjective, "losses", fail)
    config = make_config()
    words = r"data.image_size is (\d+): no \1 at int32"
    with pytest.raises(ConfigError, match=words):
        train_and_evaluate(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_zero_switches_evaluations_and_checkpoints_on_the_way_off(
    make_config, tmp_path, read_scalars, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        trainer, "_hold_back", lambda pending: asked.append(pending[-1][0])
    )
    config = make_config(
        num_steps=3,
        evaluation__every_steps=0,
        checkpoints__every_steps=0,
        log_every_steps=100,
    )
    train_and_evaluate(config, tmp_path)
    assert asked == [1, 2, 3]  # after each step, whatever is logged
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert {name for name in names if name.isdigit()} == {"3"}
    assert [step for step, _ in read_scalars(tmp_path)["validation/loss"]] == [3]


def test_one_broken_photo_among_the_pictures_ends_no_run(
    make_config, photos, tmp_path, read_scalars
):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    config = make_config(
        data__source=f"folder:{folder}",
        data__max_broken_share=0.2,
        num_steps=6,
        evaluation__num_pictures=2,
    )
    split = split_indices(12, config.data.split_fractions, seed=config.data.split_seed)
    names = sorted(path.name for path in folder.iterdir())
    (folder / names[split.train[0]]).write_bytes(b"no photo")
    train_and_evaluate(config, tmp_path / "run")
    assert read_scalars(tmp_path / "run")["train/broken_photos"][-1][1] == 1


def test_only_a_few_steps_are_on_their_way_at_once():
    waited = []

    class Metric:
        def __init__(self, step):
            self.step = step

        def block_until_ready(self):
            waited.append(self.step)
            return self

    pending = []
    for step in range(1, 8):
        pending.append((step, {"loss": Metric(step)}))
        trainer._hold_back(pending)
    assert waited == [1, 2, 3]
