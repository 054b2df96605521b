"""TensorBoard files, read back by TensorBoard."""

import io

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.training.summaries import SummaryWriter


def test_scalars_come_back_under_their_prefix(tmp_path, read_events):
    with SummaryWriter(tmp_path, first_step=1) as writer:
        writer.scalars(1, {"loss": 2.5, "l1": np.float32(0.125)}, "train")
        writer.scalars(2, {"loss": 1.5}, "train")
        writer.scalars(2, {"loss": 4.0}, "validation")
    events = read_events(tmp_path)
    assert set(events.Tags()["scalars"]) == {
        "train/loss",
        "train/l1",
        "validation/loss",
    }
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (1, 2.5),
        (2, 1.5),
    ]
    assert [(e.step, e.value) for e in events.Scalars("train/l1")] == [(1, 0.125)]


def test_pictures_come_back_as_they_were(tmp_path, read_events):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    with SummaryWriter(tmp_path, first_step=1) as writer:
        writer.picture(3, "train/reconstructions", picture)
    (event,) = read_events(tmp_path).Images("train/reconstructions")
    assert (event.step, event.height, event.width) == (3, 5, 7)
    decoded = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    np.testing.assert_array_equal(decoded, picture)


def test_a_later_start_supersedes_the_steps_that_it_does_again(tmp_path, read_events):
    with SummaryWriter(tmp_path, first_step=1) as writer:
        for step in (1, 2, 3, 4):
            writer.scalars(step, {"loss": 10.0 + step}, "train")
    with SummaryWriter(tmp_path, first_step=3) as writer:
        for step in (3, 4, 5):
            writer.scalars(step, {"loss": 20.0 + step}, "train")
    events = read_events(tmp_path).Scalars("train/loss")
    steps_and_values = [(event.step, event.value) for event in events]
    assert steps_and_values == [(1, 11), (2, 12), (3, 23), (4, 24), (5, 25)]


def test_what_was_flushed_is_there_although_the_run_was_killed(tmp_path, read_events):
    writer = SummaryWriter(tmp_path, first_step=1)
    writer.scalars(1, {"loss": 2.0}, "train")
    writer.flush()
    events = read_events(tmp_path).Scalars("train/loss")
    writer.close()
    assert [event.step for event in events] == [1]


def test_a_writer_that_is_not_enabled_leaves_no_file(tmp_path):
    with SummaryWriter(tmp_path / "log", first_step=1, enabled=False) as writer:
        writer.scalars(1, {"loss": 2.0}, "train")
        writer.picture(1, "a", np.zeros((2, 2, 3), np.uint8))
        writer.flush()
    assert not list(tmp_path.rglob("*"))


def test_a_finished_run_logs_every_quantity(uninterrupted, read_scalars, read_events):
    scalars = read_scalars(uninterrupted.workdir)
    quantities = {"loss", "l1", "l2"}
    of_training = {
        "gradient_norm",
        "parameter_norm",
        "learning_rate",
        "images_per_second",
        "data_wait",
        "broken_photos",
    }
    # 16² is too small for MS-SSIM.
    colours = (f"color_error_{name}" for name in ("red", "green", "blue"))
    of_photos = {f"photo_{name}" for name in ("l1", "l2", "psnr", "ssim", *colours)}
    assert set(scalars) == {
        *(f"train/{name}" for name in quantities | of_training),
        *(f"validation/{name}" for name in quantities | of_photos),
    }
    for tag, values in scalars.items():
        wanted = [1, 2, 3, 4, 5, 6] if tag.startswith("train/") else [3, 6]
        assert [step for step, _ in values] == wanted, tag

    rates = [value for _, value in scalars["train/learning_rate"]]
    by_hand = [1e-3 + (2e-4 - 1e-3) * step / 6 for step in range(6)]
    assert rates == pytest.approx(by_hand, rel=1e-5)
    last = {tag: values[-1][1] for tag, values in scalars.items()}
    for name, value in uninterrupted.result.metrics.items():
        assert last[f"validation/{name}"] == pytest.approx(value, rel=1e-6)

    events = read_events(uninterrupted.workdir / "tensorboard")
    for name in ("train", "validation"):
        pictures = events.Images(f"{name}/reconstructions")
        assert [picture.step for picture in pictures] == [3, 6]


def test_a_finished_run_leaves_its_picture_grids(uninterrupted):
    folder = uninterrupted.workdir / "pictures"
    assert sorted(path.name for path in folder.iterdir()) == [
        "train_00000003.png",
        "train_00000006.png",
        "validation_00000003.png",
        "validation_00000006.png",
    ]
    with Image.open(folder / "validation_00000006.png") as grid:
        # Two photos by three columns of 16 pixels, and room between.
        assert grid.size[0] > 3 * 16 and grid.size[1] > 2 * 16
