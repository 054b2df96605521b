"""Border, colour and grid of errors against cases that can be computed by hand."""

import jax
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.evaluation.artefacts import (
    compute_artefacts,
    grid_ratios,
    missing_artefacts,
    phase_counts,
    photo_border_l1,
    photo_phase_errors,
)
from vgg_unpool_jax.evaluation.evaluator import evaluate_split
from vgg_unpool_jax.evaluation.metrics import photo_l1
from vgg_unpool_jax.evaluation.reports import Report
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io import json_file

SIDES = (52, 70)  # no multiples of 16


def _targets(n=2, sides=SIDES):
    return np.full((n, *sides, 3), 100.0, np.float32)


def _border(sides=SIDES):
    """1 in the outer 16 pixels, else 0; (1, h, w, 1)."""
    frame = np.ones((1, *sides, 1), np.float32)
    frame[:, 16 : sides[0] - 16, 16 : sides[1] - 16] = 0.0
    return frame


def _grid_ratios(predictions, targets):
    return grid_ratios(
        jax.tree.map(np.asarray, compute_artefacts(predictions, targets)[1])
    )


def test_a_constant_error_is_the_same_everywhere():
    targets = _targets()
    metrics, _ = compute_artefacts(targets - 7.0, targets)
    for name, value in metrics.items():
        wanted = -7.0 if name.startswith("color_error") else 7.0
        np.testing.assert_allclose(value, [wanted] * 2, rtol=1e-6, err_msg=name)
    ratios = _grid_ratios(targets - 7.0, targets)
    assert ratios == pytest.approx(dict.fromkeys((2, 4, 8, 16), 1.0), rel=1e-6)


def test_an_error_of_the_border_is_no_error_of_the_centre_and_no_grid():
    targets = _targets()
    # Another error for each photo, so that a mix-up would show.
    error = _border() * np.array([3.0, 9.0]).reshape(2, 1, 1, 1)
    metrics, phases = compute_artefacts(targets + error, targets)
    np.testing.assert_allclose(metrics["border_l1"], [3.0, 9.0], rtol=1e-6)
    np.testing.assert_array_equal(metrics["center_l1"], [0.0, 0.0])
    np.testing.assert_array_equal(phases["phase_errors"], np.zeros((2, 16, 16)))
    assert _grid_ratios(targets + error, targets) == dict.fromkeys((2, 4, 8, 16), 1.0)


def test_border_and_centre_add_up_to_the_l1():
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 255, (3, *SIDES, 3)).astype(np.float32)
    predictions = targets[::-1].copy()
    metrics, _ = compute_artefacts(predictions, targets)
    share = _border().mean()
    both = share * metrics["border_l1"] + (1 - share) * metrics["center_l1"]
    np.testing.assert_allclose(both, photo_l1(predictions, targets), rtol=1e-5)


def test_the_colour_error_has_a_sign_and_a_channel():
    targets = _targets()
    predictions = targets + np.array([1.0, -2.0, 0.0], np.float32)
    # Noise without a mean is no colour cast.
    predictions[:, ::2, :, 2] += 30.0
    predictions[:, 1::2, :, 2] -= 30.0
    metrics, _ = compute_artefacts(predictions, targets)
    found = [metrics[f"color_error_{name}"][0] for name in ("red", "green", "blue")]
    np.testing.assert_allclose(found, [1.0, -2.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_a_grid_shows_at_its_period_and_its_multiples(period):
    targets = _targets()
    error = np.full((1, *SIDES, 1), 2.0, np.float32)
    error[:, ::period, ::period] = 6.0
    ratios = _grid_ratios(targets + error, targets)
    for longer in (2, 4, 8, 16):
        if longer >= period:
            assert ratios[longer] == pytest.approx(3.0)
        else:
            # The spikes stand at one phase of any shorter period, thinned out.
            assert 1.0 < ratios[longer] < 3.0


def test_an_error_on_even_pixels_alone_is_an_infinite_grid():
    targets = _targets()
    predictions = targets.copy()
    predictions[:, ::2, ::2] += 4.0
    assert _grid_ratios(predictions, targets) == dict.fromkeys(
        (2, 4, 8, 16), float("inf")
    )


def test_phases_are_those_of_the_crop_and_hold_all_of_the_centre():
    targets = _targets(n=1)
    predictions = targets.copy()
    predictions[0, 16 + 5, 32 + 9] += 12.0
    phases = photo_phase_errors(predictions, targets)
    assert np.argwhere(np.asarray(phases[0])).tolist() == [[5, 9]]
    everywhere = photo_phase_errors(targets + 1.0, targets)[0]
    np.testing.assert_allclose(everywhere, phase_counts(*SIDES), rtol=1e-6)
    assert phase_counts(*SIDES).sum() == (52 - 32) * (70 - 32)


def test_chance_makes_a_grid_of_its_own():
    targets = _targets(n=5)
    noise = np.random.default_rng(1).normal(0, 9, targets.shape)
    ratios = _grid_ratios((targets + noise).astype(np.float32), targets)
    assert ratios[16] > ratios[2] > 1.0  # the more, the smaller the samples
    assert grid_ratios({}) == {}


def test_predictions_are_clipped_first():
    targets = _targets()
    metrics, phases = jax.jit(compute_artefacts)(targets + 1e6, targets)
    np.testing.assert_allclose(metrics["border_l1"], 155.0, rtol=1e-6)
    np.testing.assert_allclose(metrics["color_error_red"], 155.0, rtol=1e-6)
    errors = phases["phase_errors"][0]
    np.testing.assert_allclose(errors, 155.0 * phase_counts(*SIDES), rtol=1e-5)


@pytest.mark.parametrize("sides", [(47, 60), (60, 47), (16, 16)])
def test_what_photos_are_too_small_for_is_left_out_with_a_reason(sides):
    targets = _targets(sides=sides)
    metrics, phases = compute_artefacts(targets, targets)
    assert phases == {}
    assert sorted(metrics) == sorted(
        f"color_error_{c}" for c in ("red", "green", "blue")
    )
    assert "at least 48 pixels" in missing_artefacts(*sides)
    with pytest.raises(ValueError, match="at least 48 pixels"):
        photo_border_l1(targets, targets)


# --- in an evaluation -----------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    """Three flat photos of 64×64 pixels."""
    for number in range(3):
        photo = np.full((64, 64, 3), 50 + 50 * number, np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    return make_source(f"folder:{tmp_path}")


def evaluate_reconstruction(reconstruct, source, **options):
    def outputs(batch):
        images = batch["image"].astype(np.float32)
        return {"input": images, "output": reconstruct(images), "target": images}

    return evaluate_split(outputs, Report(), source, np.arange(3), **options)


def test_an_evaluation_finds_writes_and_tells_them(source, tmp_path):
    pattern = 2.0 + 4.0 * _border((64, 64))
    pattern[:, 16:-16:4, 16:-16:4] = 3.0

    # The last batch is padded.
    score = evaluate_reconstruction(
        lambda images: images - pattern,
        source,
        image_size=64,
        batch_size=2,
    )
    center = 2.0 + 1.0 / 16
    assert score.metrics["border_l1"].mean == pytest.approx(6.0)
    assert score.metrics["border_l1"].photos == 3
    assert score.metrics["center_l1"].mean == pytest.approx(center)
    write_results(tmp_path / "results.json", score.to_dict())
    read = json_file.read(tmp_path / "results.json")
    assert read["border_ratio"] == pytest.approx(6.0 / center)
    ratios = {"2": 1.125, "4": 1.5, "8": 1.5, "16": 1.5}
    assert read["grid_ratios"] == pytest.approx(ratios)
    assert read["metrics"]["color_error_blue"]["mean"] == pytest.approx(-5.015625)
    report = score.report()
    assert "border L1 / centre L1: 2.909\n" in report
    assert "red -5.016, green -5.016, blue -5.016" in report
    assert "1.125 at 2, 1.500 at 4, 1.500 at 8, 1.500 at 16 pixels" in report


def test_an_evaluation_of_small_crops_leaves_them_out(source):
    score = evaluate_reconstruction(lambda images: images + 1.0, source, image_size=32)
    results = score.to_dict()
    assert results["border_ratio"] is None and results["grid_ratios"] == {}
    assert "border_l1" not in results["metrics"]
    assert "Border, centre and grid are left out at 32 x 32" in score.report()
    assert "red +1.000" in score.report()
