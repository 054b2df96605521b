"""Evaluating a model over the photos of a source."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.evaluation.evaluator import evaluate_split, example_rows
from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.evaluation.statistics import paired_differences


@pytest.fixture
def source(tmp_path):
    """Five photos of 20×24 pixels and one that is too small."""
    rng = np.random.default_rng(0)
    for number in range(5):
        photo = rng.integers(20, 200, (20, 24, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    Image.fromarray(photo[:10]).save(tmp_path / "small.png")
    return make_source(f"folder:{tmp_path}")


def evaluate_reconstruction(reconstruct, source, indices, **options):
    def outputs(batch):
        images = batch["image"].astype(np.float32)
        rebuilt = np.asarray(reconstruct(images), np.float32)
        return {"input": images, "output": rebuilt, "target": images}

    return evaluate_split(outputs, Report(), source, indices, **options)


def test_every_photo_counts_once_whatever_the_batch(source):
    by_batch = [
        evaluate_reconstruction(
            lambda images: images + 3.0,
            source,
            np.arange(6),
            image_size=16,
            batch_size=size,
        )
        for size in (1, 4, 100)
    ]
    for score in by_batch:
        assert score.metrics["l1"].photos == 5
        assert score.metrics["l1"].mean == pytest.approx(3.0)
        assert score.metrics["l2"].mean == pytest.approx(9.0)
        assert score.too_small == {"small.png": (10, 24)}
        assert "small.png (10×24)" in score.report()
        assert "MS-SSIM is left out" in score.report()


def test_reconstructions_are_clipped_before_they_are_compared(source):
    score = evaluate_reconstruction(
        lambda images: images * 0.0 + 1e6, source, np.arange(5), image_size=16
    )
    assert score.metrics["l1"].mean <= 255.0
    assert max(images["output"].max() for images in score.examples.values()) == 255.0


def test_photos_have_their_own_metrics_to_be_compared_in_pairs(source):
    scores = [
        evaluate_reconstruction(
            lambda images, error=error: images + error * (images > 100),
            source,
            np.array([4, 5, 0, 2]),
            image_size=16,
            batch_size=2,
        )
        for error in (2.0, 3.0)
    ]
    ours, theirs = (score.to_dict()["photos"] for score in scores)
    assert list(ours) == ["0.png", "2.png", "4.png"]
    mean = np.mean([metrics["l1"] for metrics in ours.values()])
    assert mean == pytest.approx(scores[0].metrics["l1"].mean)
    bright = np.mean(source[2][2:18, 4:20] > 100)
    assert ours["2.png"]["l1"] == pytest.approx(2 * bright, rel=1e-5)
    found = paired_differences(ours, {**theirs, "0.png": {"psnr": "inf"}})
    assert found["l1"].photos == 2 and found["psnr"].photos == 3
    wanted = -np.mean([ours[name]["l1"] / 2 for name in ("2.png", "4.png")])
    assert found["l1"].mean == pytest.approx(wanted, rel=1e-5)
    assert found["psnr"].mean == -np.inf
    assert not paired_differences(ours, {})


@pytest.mark.parametrize("small", ["0.png", "9.png"])
def test_the_smallest_of_whole_photos_counts_wherever_it_is(small, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(1, 9):
        photo = rng.integers(20, 200, (64, 64, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    Image.fromarray(photo[:20, :30]).save(tmp_path / small)
    score = evaluate_reconstruction(
        lambda images: images + 1.0,
        make_source(f"folder:{tmp_path}"),
        np.arange(9),
        image_size=1,
        crop="whole",
    )
    assert score.size == (20, 30) and score.to_dict()["image_size"] == 20
    assert score.metrics["border_l1"].photos == 8
    report = score.report()
    assert "grid are left out at 20 x 30" in report and "worst / best" in report


def test_examples_are_the_first_photos_by_name(source):
    score = evaluate_reconstruction(
        lambda images: images + 1.0,
        source,
        np.array([5, 2, 0, 1]),
        image_size=16,
        num_examples=2,
    )
    assert list(score.examples) == ["2.png", "0.png"]
    images = score.examples["2.png"]
    np.testing.assert_array_equal(images["output"], images["input"] + 1.0)
    np.testing.assert_array_equal(images["input"], source[2][2:18, 4:20])
    assert score.pictures()["evaluation"].dtype == np.uint8


def test_a_whole_photo_of_any_shape_is_evaluated(tmp_path):
    shapes = [(20, 33), (41, 18)]
    for number, shape in enumerate(shapes):
        photo = np.full((*shape, 3), 100, np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no photo")
    seen = []

    def brighten(images):
        seen.append(images.shape)
        return images + len(seen)

    score = evaluate_reconstruction(
        brighten,
        make_source(f"folder:{tmp_path}"),
        np.arange(3),
        image_size=256,
        crop="whole",
        max_broken_share=0.5,
    )
    assert seen == [(1, 20, 33, 3), (1, 41, 18, 3)]
    assert score.metrics["l1"].mean == pytest.approx(1.5)
    assert list(score.broken) == ["2.png"]
    assert score.size == (41, 18)
    assert score.pictures()["evaluation"].ndim == 3


def test_the_grid_shows_what_the_model_saw_and_a_target_that_differs():
    images = {
        name: np.full((4, 4, 3), value)
        for name, value in (("input", 9.0), ("output", 2.0), ("target", 1.0))
    }
    rows = example_rows([images], gain=8.0)
    assert list(rows) == ["input", "reconstruction", "target", "8x error"]
    assert [float(row.mean()) for row in rows.values()] == [9.0, 2.0, 1.0, 8.0]
    del images["input"]
    same = example_rows([{**images, "input": images["target"]}], gain=8.0)
    assert list(same) == ["input", "reconstruction", "8x error"]


@pytest.mark.parametrize(
    ("indices", "words"),
    [([], "no photo to evaluate"), ([5], "1 are too small and 0 cannot be read")],
)
def test_nothing_to_evaluate_is_said(indices, words, source):
    with pytest.raises(UserError, match=words):
        evaluate_reconstruction(
            lambda images: images, source, np.array(indices, int), image_size=16
        )
