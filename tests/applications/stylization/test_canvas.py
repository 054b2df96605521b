"""Padding, tiles and the coverage of regions on the canvas."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.canvas import (
    BORDER,
    BUCKET,
    RegionMap,
    cut_tiles,
    from_canvas,
    groups_of_regions,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.systems.unpooling.tiling import receptive_margin


def _labels(height, width, count, seed=0):
    return np.random.default_rng(seed).integers(0, count, (height, width))


def _hard(height, width, count):
    names = [str(index) for index in range(count)]
    return Regions(names, labels=_labels(height, width, count))


def _soft(height, width, count):
    shares = np.random.default_rng(1).dirichlet(np.ones(count), (height, width))
    return Regions([str(index) for index in range(count)], coverage=shares)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (200, 131)])
def test_photos_of_any_size_come_back_from_their_canvas(height, width):
    generator = np.random.default_rng(0)
    photos = generator.uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    padded = to_canvas(photos)
    assert padded.shape[1] % BUCKET == padded.shape[2] % BUCKET == 0
    # No larger than it has to be.
    for side, length in zip(padded.shape[1:3], (height, width), strict=True):
        assert 2 * BORDER <= side - length < 2 * BORDER + BUCKET
    np.testing.assert_array_equal(from_canvas(padded, height, width), photos)
    rows, columns = (
        np.pad(
            np.arange(length),
            (BORDER, side - length - BORDER),
            mode="reflect" if length > 1 else "edge",
        )
        for side, length in zip(padded.shape[1:3], (height, width), strict=True)
    )
    np.testing.assert_array_equal(padded, photos[:, rows][:, :, columns])


@pytest.mark.parametrize("block", [1, 5])
def test_kept_parts_of_tiles_cover_the_canvas_once(block):
    margin, size = receptive_margin(block), size_multiple(block)
    tile = {1: 96, 5: 832}[block]
    height, width = 15 * BUCKET, 14 * BUCKET
    tiles = cut_tiles(height, width, block, tile)
    assert len(tiles) > 2
    seen = np.zeros((height, width), np.int32)
    shapes = set()
    for each in tiles:
        seen[each.rows.outer, each.columns.outer] += 1
        shapes.add(tuple(span.stop - span.start for span in each))
        for span, side in zip(each, (height, width), strict=True):
            assert span.start % size == 0
            assert span.outer.start - span.start == span.inner.start
            assert span.outer.stop - span.outer.start == (
                span.inner.stop - span.inner.start
            )
            # What is kept sees all that it depends on.
            assert span.inner.start >= margin or span.start == 0
            assert span.stop - span.outer.stop >= margin or span.stop == side
    np.testing.assert_array_equal(seen, 1)
    assert len(shapes) == 1  # one compilation
    assert max(shapes.pop()) <= tile


def test_a_canvas_no_larger_than_a_tile_is_one():
    for tile in (0, 192):
        (only,) = cut_tiles(128, 192, 3, tile)
        assert only.window == (slice(0, 128), slice(0, 192))
    assert len(cut_tiles(128, 192, 3, 128)) > 1


@pytest.mark.parametrize("make", [_hard, _soft])
@pytest.mark.parametrize("block", [1, 4])
def test_coverage_of_all_regions_sum_to_1_and_each_place_counts_once(block, make):
    height, width, count = 75, 143, 5
    laid = RegionMap(height, width, make(height, width, count))
    canvas = to_canvas(np.zeros((1, height, width, 3))).shape[1:3]
    tile = {1: 96, 4: 320}[block]
    tiles = cut_tiles(*canvas, block, tile)
    size, total = size_multiple(block), np.zeros(count)
    for each in tiles:
        np.testing.assert_array_equal(laid.present(each), np.arange(count))
        coverage = laid.coverage(each, block, range(count))
        assert coverage.dtype == np.float32
        sides = [(span.stop - span.start) // size for span in each]
        assert coverage.shape == (count, *sides)
        np.testing.assert_allclose(coverage.sum(axis=0), 1, rtol=1e-5)
        total += laid.coverage(each, block, range(count), once=True).sum(axis=(1, 2))
    # In cells: the area of the photo, and none of the padding.
    assert total.sum() == pytest.approx(height * width / size**2, rel=1e-5)
    (whole,) = cut_tiles(*canvas, block, 0)
    once = laid.coverage(whole, block, range(count), once=True).sum(axis=(1, 2))
    np.testing.assert_allclose(total, once, rtol=1e-5)
    if make is _soft:
        areas = make(height, width, count).areas() / size**2
        # Cells that the photo's end cuts take the mean over all of them.
        np.testing.assert_allclose(once, areas, rtol=1e-5 if size == 1 else 1e-2)


@pytest.mark.parametrize("block", [1, 3])
def test_hard_labels_are_those_in_the_middle_of_a_cell(block):
    height, width = 40, 33
    regions = _hard(height, width, 7)
    laid = RegionMap(height, width, regions)
    size = size_multiple(block)
    (whole,) = cut_tiles(128, 128, block, 0)
    found = laid.coverage(whole, block, range(7)).argmax(axis=0)
    first = BORDER // size
    rows, columns = (np.arange(size // 2, side, size) for side in (height, width))
    inside = found[first : first + len(rows), first : first + len(columns)]
    np.testing.assert_array_equal(inside, regions.labels[np.ix_(rows, columns)])


@pytest.mark.parametrize("count", [1, 9, 200])
def test_groups_have_few_sizes_and_hold_every_region_once(count):
    regions = np.random.default_rng(0).permutation(300)[:count]
    groups = list(groups_of_regions(regions))
    assert {len(group) for group in groups} <= {1, 2, 4, 8}
    together = np.concatenate(groups)
    np.testing.assert_array_equal(together[together >= 0], regions)
    assert set(together[together < 0]) <= {-1}
