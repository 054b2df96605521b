"""Sizes of crops and batches that change within a run."""

import shutil

import ml_collections
import numpy as np
import pytest

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training.stages import (
    StagedLoader,
    examples_seen,
    make_stages,
    mean_batch_size,
)


def _data(*stages, image_size=16, batch_size=4):
    return ml_collections.ConfigDict(
        {"image_size": image_size, "batch_size": batch_size, "stages": stages}
    )


def test_stages_follow_each_other_without_a_gap():
    first, second, third = make_stages(_data((0.5, 32, 2), (0.8, 48, 1)), 10)
    sizes = [(s.image_size, s.batch_size) for s in (first, second, third)]
    assert sizes == [(16, 4), (32, 2), (48, 1)]
    assert [s.first_step for s in (first, second, third)] == [0, 5, 8]
    assert [s.end_step for s in (first, second, third)] == [5, 8, 10]
    assert [s.first_example for s in (first, second, third)] == [0, 20, 26]
    assert examples_seen(_data((0.5, 32, 2), (0.8, 48, 1)), 9, 10) == 27
    assert mean_batch_size(_data((0.5, 32, 2), (0.8, 48, 1))) == pytest.approx(2.8)


def test_a_stage_without_a_step_is_left_out():
    stages = make_stages(_data((0.01, 32, 2), (0.5, 48, 1)), 4)
    assert [(s.image_size, s.first_step) for s in stages] == [(32, 0), (48, 2)]


@pytest.mark.parametrize("stages", [[(0.5, 32)], [(0.0, 32, 2)], [(0.5, 8, 1)] * 2])
def test_a_stage_that_does_not_follow_is_refused(stages):
    with pytest.raises(ConfigError, match=r"data.stages\[\d\] must be"):
        make_stages(_data(*stages), 10)


def test_no_photo_of_an_epoch_is_lost_or_repeated_at_the_change(photos):
    source = make_source(f"folder:{photos}")
    indices = np.arange(8)

    def open_loader(stage, start):
        return make_loader(
            source,
            indices,
            batch_size=stage.batch_size,
            image_size=stage.image_size,
            crop="random",
            seed=0,
            shuffle=True,
            num_epochs=None,
            first_example=stage.first_example,
            start=start,
        )

    def read(step):
        stages = make_stages(_data((0.25, 32, 2)), 4)
        with StagedLoader(stages, step, open_loader) as loader:
            return [next(loader) for _ in range(step, 4)]

    batches = read(0)
    assert [b["image"].shape for b in batches] == [(4, 16, 16, 3)] + [
        (2, 32, 32, 3)
    ] * 3
    seen = np.concatenate([b["index"] for b in batches])
    assert sorted(seen[:8]) == list(range(8))
    for step in (1, 2):
        for batch, again in zip(batches[step:], read(step), strict=True):
            np.testing.assert_array_equal(batch["image"], again["image"])


@pytest.mark.extended
def test_a_run_with_stages_resumes_bit_for_bit(make_config, tmp_path, assert_same_tree):
    config = make_config(data__stages=((0.5, 32, 4),))
    whole = train_and_evaluate(config, tmp_path / "whole")
    for step in range(1, 7):
        result = train_and_evaluate(config, tmp_path / "parts", max_minutes=0.0)
        assert int(result.state.step) == step
    assert_same_tree(result.state, whole.state)


def test_a_stage_that_the_model_cannot_take_is_refused_at_once(make_config, tmp_path):
    config = make_config(2, data__stages=((0.5, 17, 2),))
    with pytest.raises(ConfigError, match=r"^data.stages\[0\].image_size is 17: "):
        train_and_evaluate(config, tmp_path)


@pytest.mark.extended
def test_photos_kept_on_the_device_give_the_same_run(
    make_config, tmp_path, assert_same_tree
):
    fields = {"data__crop": "random", "data__stages": ((0.5, 18, 4),)}
    host = train_and_evaluate(make_config(**fields), tmp_path / "host")
    config = make_config(**fields, data__keep_on_device=True)
    device = train_and_evaluate(config, tmp_path / "device")
    assert_same_tree(device.state, host.state)


def test_a_broken_photo_cannot_be_kept(make_config, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for path in sorted(folder.iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:60])
    config = make_config(
        data__crop="random",
        data__keep_on_device=True,
        data__source=f"folder:{folder}",
        data__max_broken_share=1.0,
    )
    with pytest.raises(ConfigError, match=r"needs readable photos: .*\.png.*to false"):
        train_and_evaluate(config, tmp_path / "run")


@pytest.mark.extended
def test_photos_that_are_too_small_to_keep_are_named(make_config, tmp_path):
    config = make_config(
        data__crop="random", data__image_size=512, data__keep_on_device=True
    )
    with pytest.raises(
        ConfigError, match="keep_on_device takes photos of at least 512"
    ):
        train_and_evaluate(config, tmp_path)
