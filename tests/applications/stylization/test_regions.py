"""Regions on grids, soft regions and the matching of two sides."""

import re

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from vgg_unpool_jax.applications.stylization.region_matching import match_regions
from vgg_unpool_jax.applications.stylization.regions import (
    Regions,
    feather,
    fit_regions,
    soft_regions,
)
from vgg_unpool_jax.errors import ConfigError, UserError


def _hard(labels, count=None):
    labels = np.asarray(labels, np.int32)
    count = labels.max() + 1 if count is None else count
    return Regions([str(i) for i in range(count)], labels=labels)


def _strip(*counts):
    """Regions "0", "1", ... of so many cells in one row."""
    return _hard(np.repeat(np.arange(len(counts)), counts)[None], len(counts))


def _random_soft(shape, count, seed=0):
    weights = np.random.default_rng(seed).uniform(0.1, 1, (*shape, count))
    weights /= weights.sum(axis=2, keepdims=True)
    return Regions([str(i) for i in range(count)], coverage=weights)


@pytest.mark.parametrize("grid", [(6, 5), (48, 60), (96, 32), (1, 1)])
def test_labels_take_the_nearest_pixel_as_pillow_does(grid):
    labels = np.random.default_rng(0).integers(0, 200, (48, 60)).astype(np.uint8)
    expected = Image.fromarray(labels).resize(grid[::-1], Image.Resampling.NEAREST)
    found = _hard(labels, 200).on_grid(*grid)
    np.testing.assert_array_equal(found.labels, np.asarray(expected))
    assert found.labels.dtype == np.int32 and found.shape == grid


@pytest.mark.parametrize("grid", [(6, 5), (9, 13), (3, 60), (48, 7)])
def test_weights_are_averaged_over_cells_as_by_pillows_box(grid):
    soft = _random_soft((48, 60), 3)
    found = soft.on_grid(*grid)
    # As means of many nearest pixels: an oracle for cells that cut pixels in two.
    rows = np.arange(grid[0] * 48) // grid[0]
    columns = np.arange(grid[1] * 60) // grid[1]
    fine = soft.coverage[rows][:, columns].astype(np.float64)
    fine = fine.reshape(grid[0], 48, grid[1], 60, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found.coverage, fine, atol=1e-5)
    if not (48 % grid[0] or 60 % grid[1]):
        blocks = soft.coverage.reshape(grid[0], 48 // grid[0], grid[1], 60 // grid[1], 3)
        np.testing.assert_allclose(found.coverage, blocks.mean(axis=(1, 3)), atol=1e-6)
    np.testing.assert_allclose(
        found.coverage.mean((0, 1)), soft.coverage.mean((0, 1)), atol=1e-5
    )


def test_area_means_of_cells_that_cut_pixels():
    weights = np.array([[[1, 0], [0, 1], [0, 1]]], np.float32)
    found = Regions(("a", "b"), coverage=weights).on_grid(1, 2)
    np.testing.assert_allclose(found.coverage[0, :, 0], [2 / 3, 0], atol=1e-6)
    finer = Regions(("a", "b"), coverage=weights).on_grid(2, 6)
    np.testing.assert_array_equal(finer.coverage[..., 0], [[1, 1, 0, 0, 0, 0]] * 2)


def test_a_padded_grid_keeps_to_the_photo():
    labels = np.repeat(np.arange(11), 1)[:, None] * np.ones((1, 8), int)
    grid = _hard(labels).on_grid(3, 2, covers=(11 / 4, 2))
    # Centres of the cells are rows 2, 6 and 10.
    np.testing.assert_array_equal(grid.labels[:, 0], [2, 6, 10])
    one_hot = Regions(grid.names, coverage=np.eye(11)[labels])
    soft = one_hot.on_grid(3, 2, covers=(11 / 4, 2)).coverage[:, 0]
    np.testing.assert_allclose(soft[0, :4], 0.25, atol=1e-6)
    np.testing.assert_allclose(soft[2, 8:], 1 / 3, atol=1e-6)  # what is left of it


@pytest.mark.parametrize("covers", [(2, 2), (3.5, 2)])
def test_a_photo_ends_within_the_last_cells(covers):
    with pytest.raises(ValueError, match="must end within the last row"):
        _strip(4).on_grid(3, 2, covers=covers)


def test_fit_takes_other_sizes_and_refuses_other_shapes():
    mask = _hard(np.arange(60 * 80).reshape(60, 80) % 7)
    assert fit_regions(mask, 60, 80, "m.png") is mask
    assert fit_regions(mask, 300, 400, "m.png").shape == (300, 400)
    assert fit_regions(mask, 303, 400, "m.png").shape == (303, 400)
    with pytest.raises(UserError, match=r"m\.png is 80×60 .* 400×340.*whole photo$"):
        fit_regions(mask, 340, 400, "m.png")
    with pytest.raises(ConfigError, match="turned by 90 degrees it would fit"):
        fit_regions(mask, 400, 300, "m.png")


def test_soft_layers_sum_to_one_with_a_rest():
    sky, ground = np.array([[1.0, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.25]])
    regions = soft_regions([sky, ground], ["sky", "ground"])
    assert regions.names == ("sky", "ground", "rest")
    expected = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.25, 0.75]]
    np.testing.assert_allclose(regions.coverage[0], expected)
    assert soft_regions([sky, 1 - sky]).names == ("0", "1")


@pytest.mark.parametrize(
    "layers, message",
    [
        ([], "one or more"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], r"\(2, 3\) for layer 1"),
        ([np.full((2, 2), 255.0)], r"in \[0, 1\], got 255"),
        ([np.full((2, 2), np.nan)], r"in \[0, 1\]"),
    ],
)
def test_layers_that_are_none_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        soft_regions(layers)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": None}, "either labels or weights"),
        ({"names": ("a", "a")}, "all different"),
        ({"names": ("a",)}, r"in 0\.\.0 for 1 names, got 0\.\.1"),
        ({"labels": np.zeros((2, 2), np.float32)}, "whole numbers"),
        ({"labels": None, "weights": np.full((1, 1, 2), 0.6)}, "sum 1"),
        ({"labels": None, "weights": np.full((1, 1, 3), 0.3)}, r"\(height, width, 2\)"),
    ],
)
def test_what_are_no_regions_is_refused(changes, message):
    given = {"names": ("a", "b"), "labels": np.array([[0, 1]])} | changes
    with pytest.raises(ValueError, match=message):
        Regions(**given)


def test_feathered_weights_are_box_means():
    labels = np.random.default_rng(1).integers(0, 3, (17, 23))
    soft = feather(_hard(labels), 2)
    padded = np.pad(np.eye(3)[labels], ((2, 2), (2, 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (0, 1))
    np.testing.assert_allclose(soft.coverage, windows.mean((-1, -2)), atol=1e-6)
    np.testing.assert_array_equal(
        feather(_hard(labels), 0).coverage, np.eye(3, dtype=np.float32)[labels]
    )
    again = feather(soft, 1).coverage[..., 0]
    expected = scipy.ndimage.uniform_filter(soft.coverage[..., 0], 3, mode="nearest")
    np.testing.assert_allclose(again, expected, atol=1e-5)
    with pytest.raises(ValueError, match="radius"):
        feather(soft, -1)


def test_regions_are_paired_by_name():
    content = Regions(("a", "b"), labels=np.repeat([0, 1], 20)[None])
    style = Regions(("b", "c", "a"), labels=np.repeat([0, 2], 30)[None])
    matching = match_regions(content, style)
    assert matching.pairs == (2, 0) and not matching.sentences


@pytest.mark.parametrize(
    "content, style, pair, message",
    [
        ((11, 50), (11, 50), 0, None),
        ((10, 50), (11, 50), -1, "region 0: too small in the content .at most 10 "),
        ((11, 50), (10, 50), -1, "region 0: too small in the style"),
        ((20, 50), (1999, 50), 0, None),
        ((20, 50), (2000, 50), -1, "100 times larger on one side"),
        ((2000, 50), (20, 50), -1, "100 times larger on one side"),
        ((20, 50), (0, 50), -1, "region 0: in the content alone; stylised with the"),
        ((0, 50), (20, 50), -1, "region 0: in the style alone; not used"),
        ((0, 50), (0, 50), -1, None),
    ],
)
def test_small_and_lonely_regions_fall_back_and_say_so(content, style, pair, message):
    matching = match_regions(_strip(*content), _strip(*style))
    assert matching.pairs == (pair, 1)
    assert len(matching.sentences) == (message is not None)
    if message:
        assert re.search(message, matching.sentences[0])


def test_soft_regions_have_soft_areas_and_limits_can_be_set():
    soft = feather(_strip(20, 40), 3)
    assert soft.areas().sum() == pytest.approx(60)
    assert match_regions(soft, soft, smallest=25).pairs == (-1, 1)
    with pytest.raises(ValueError, match="largest_ratio"):
        match_regions(soft, soft, largest_ratio=1)


def test_two_hundred_lonely_regions_are_one_sentence():
    content = _strip(*[1] * 200)
    style = Regions(("x",), labels=np.zeros((1, 50), int))
    matching = match_regions(content, style)
    assert matching.pairs == (-1,) * 200 and len(matching.sentences) == 2
    assert "7 and 192 more: in the content alone" in matching.sentences[0]
