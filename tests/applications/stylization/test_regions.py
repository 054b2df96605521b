"""Regions on grids, soft regions and the matching of two sides."""

import re

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization.regions import (
    Regions,
    fit_regions,
    match_regions,
    soft_regions,
)
from vgg_unpool_jax.errors import UserError


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


@pytest.mark.parametrize("grid", [(6, 5), (96, 32), (1, 1)])
def test_labels_take_the_nearest_pixel_as_pillow_does(grid):
    labels = np.random.default_rng(0).integers(0, 200, (48, 60)).astype(np.uint8)
    expected = Image.fromarray(labels).resize(grid[::-1], Image.Resampling.NEAREST)
    found = _hard(labels, 200).on_grid(*grid)
    np.testing.assert_array_equal(found.labels, np.asarray(expected))
    assert found.labels.dtype == np.int32 and found.shape == grid


@pytest.mark.parametrize("grid", [(6, 5), (9, 13)])
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
        blocks = soft.coverage.reshape(
            grid[0], 48 // grid[0], grid[1], 60 // grid[1], 3
        )
        np.testing.assert_allclose(found.coverage, blocks.mean(axis=(1, 3)), atol=1e-6)
    np.testing.assert_allclose(
        found.coverage.mean((0, 1)), soft.coverage.mean((0, 1)), atol=1e-5
    )


def test_fit_takes_other_sizes_and_refuses_other_shapes():
    mask = _hard(np.arange(60 * 80).reshape(60, 80) % 7)
    assert fit_regions(mask, 60, 80, "m.png") is mask
    assert fit_regions(mask, 300, 400, "m.png").shape == (300, 400)
    assert fit_regions(mask, 303, 400, "m.png").shape == (303, 400)
    with pytest.raises(UserError, match=r"m\.png is 80×60 .* 400×340.*whole photo$"):
        fit_regions(mask, 340, 400, "m.png")
    with pytest.raises(UserError, match="turned by 90 degrees it would fit"):
        fit_regions(mask, 400, 300, "m.png")


def test_soft_layers_sum_to_one_with_a_rest():
    sky, ground = np.array([[1.0, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.25]])
    regions = soft_regions([sky, ground], ["sky", "ground"])
    assert regions.names == ("sky", "ground", "rest")
    expected = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.25, 0.75]]
    np.testing.assert_allclose(regions.coverage[0], expected)
    assert soft_regions([sky, 1 - sky], ["a", "b"]).names == ("a", "b")


def test_regions_are_paired_by_name():
    content = Regions(("a", "b"), labels=np.repeat([0, 1], 20)[None])
    style = Regions(("b", "c", "a"), labels=np.repeat([0, 2], 30)[None])
    matching = match_regions(content, style.names, style.areas())
    assert matching.pairs == (2, 0) and not matching.sentences


@pytest.mark.parametrize(
    "content, style, pair, message",
    [
        ((11, 50), (11, 50), 0, None),
        ((11, 50), (10, 50), -1, "region 0: too small in the style"),
        ((20, 50), (1999, 50), 0, None),
        ((2000, 50), (20, 50), -1, "100 times larger on one side"),
        ((20, 50), (0, 50), -1, "region 0: in the content alone; stylised with the"),
        ((0, 50), (20, 50), -1, "region 0: in the style alone; not used"),
        ((0, 50), (0, 50), -1, None),
    ],
)
def test_small_and_lonely_regions_fall_back_and_say_so(content, style, pair, message):
    matching = match_regions(_strip(*content), ("0", "1"), _strip(*style).areas())
    assert matching.pairs == (pair, 1)
    assert len(matching.sentences) == (message is not None)
    if message:
        assert re.search(message, matching.sentences[0])
