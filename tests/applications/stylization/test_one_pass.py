"""One pass through a staged decoder with random weights."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from configs.staged import vgg19
from vgg_unpool_jax.applications.stylization.one_pass import OnePassStylizer
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.saved import SavedModel
from vgg_unpool_jax.systems.staged.decoder import STAGES
from vgg_unpool_jax.systems.staged.trained import TrainedStagedDecoder
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS


def _photo(height, width, seed=0, tint=(1.0, 1.0, 1.0)):
    noise = np.random.default_rng(seed).standard_normal((height, width, 3))
    blobs = scipy.ndimage.gaussian_filter(noise, (2, 2, 0))
    return ((128 + 40 * blobs / blobs.std()).clip(0, 255) * tint).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Random kernels that keep the scale; statistics as if measured."""
    weights = random_vgg19_weights(0, block=4)
    generator = np.random.default_rng(1)
    params, statistics = {}, {}
    for number, stage in enumerate(STAGES):
        statistics[f"input{number}"] = np.full(stage[0].outputs, 50, np.float32)
        if number < len(STAGES) - 1:
            statistics[f"target{number}"] = np.full(stage[1].inputs, 50, np.float32)
        for layer in stage:
            kernel = generator.standard_normal((3, 3, layer.outputs, layer.inputs))
            kernel *= np.sqrt(2 / 9 / layer.outputs)
            bias = np.zeros(layer.inputs)
            params[layer.name] = {
                "kernel": kernel.astype(np.float32),
                "bias": bias.astype(np.float32),
            }
    config = vgg19.get_config("runlocal")
    variables = {"params": params, STATISTICS: statistics}
    saved = SavedModel(None, config, variables, 0, {}, None)
    model = TrainedStagedDecoder(saved, weights)
    model.encoder = VGG19Encoder(4, convolution="xla")  # compiles faster
    model.decoder = model.decoder.clone(convolution="xla")
    return model


@pytest.fixture(scope="module")
def stylizer(model):
    return OnePassStylizer(model, transform="adain", side=96, tile=512)


@pytest.mark.extended
def test_nothing_moved_is_the_photo_itself(stylizer):
    photo, style = _photo(50, 70), _photo(40, 40, 1, (1.0, 0.6, 0.3))
    look = stylizer.measure_style(style)
    np.testing.assert_allclose(
        stylizer.stylize(photo, look, alpha=0.0), photo, atol=0.05
    )
    none = stylizer.stylize(photo, look, strengths=dict.fromkeys((4, 3, 2, 1), 0.0))
    np.testing.assert_allclose(none, photo, atol=0.05)
    moved = stylizer.stylize(photo, look)
    assert moved.shape == photo.shape and np.abs(moved - photo).mean() > 3
    np.testing.assert_array_equal(moved, stylizer.stylize(photo, look))


def test_stages_get_features_behind_a_relu(stylizer, monkeypatch):
    smallest = []

    def watched(stage):
        def run(variables, changed, encoding):
            smallest.append(float(changed.min()))
            return stage(variables, changed, encoding)

        return run

    stages = [watched(stage) for stage in stylizer._stages]
    monkeypatch.setitem(vars(stylizer), "_stages", stages)
    look = stylizer.measure_style(_photo(40, 40, 11) * 0.2)
    # Far beyond the style, much is below zero.
    stylizer.stylize(_photo(40, 40, 12), look, alpha=3.0)
    assert len(smallest) == 5 and min(smallest) == 0.0


def test_moments_are_those_of_the_encoder(stylizer, model):
    style = _photo(64, 64, 3)
    look = stylizer.measure_style(style)
    assert look.blocks == (4, 3, 2, 1)
    # The photo without the canvas around it.
    padded = np.pad(style, ((32, 32), (32, 32), (0, 0)), mode="reflect")
    features = np.asarray(model.encode(padded[None]).inputs[4])[0, 32:-32, 32:-32]
    np.testing.assert_allclose(
        look.moments[1].mean[0], features.mean((0, 1)), rtol=1e-3, atol=1e-2
    )


@pytest.mark.extended
def test_tiles_agree_with_the_whole(model):
    photo = _photo(160, 700, 4)
    look = OnePassStylizer(model, side=96).measure_style(_photo(60, 60, 5))
    labels = np.zeros(photo.shape[:2], np.int32)
    labels[:, 300:] = 1
    regions = Regions(("0", "1"), labels=labels)
    counts, tiles = [], []

    def adjust(block, moments):
        counts.append((block, moments.count.sum()))
        return moments

    def progress(items, desc):
        tiles.extend([len(items)] if desc == "transfer" else [])
        return items

    whole, tiled = (
        OnePassStylizer(model, transform="adain", side=96, tile=tile).stylize(
            photo, look, regions, adjust=adjust, progress=progress
        )
        for tile in (0, 512)
    )
    # Moments are those of the reduced photo, 96×22 pixels, each fourth counting for 4.
    assert counts[3] == (1, pytest.approx(96 * 22))
    assert tiles[0] == 1 < tiles[1]
    assert np.abs(whole - tiled).max() < 1.0
    assert np.abs(whole - photo).mean() > 3


def test_a_large_style_is_reduced(stylizer):
    style = _photo(120, 300, 6)
    large = stylizer.measure_style(style)
    assert large.areas(1)[0] == pytest.approx(96 * 38)
    assert large.colors.shape == (1, 4096, 3)


def test_regions_are_compared_at_the_size_that_is_measured(stylizer):
    names, size = ("rest", "left"), (960, 960)  # reduced to 12 × 12 cells
    columns = np.arange(960) < np.array([[80], [480]])
    narrow, wide = (
        Regions(names, labels=np.broadcast_to(row, size).astype(np.int32))
        for row in columns
    )
    look = stylizer.measure_style(_photo(*size, 13), narrow)
    np.testing.assert_allclose(look.areas(4), (132, 12))
    matching = stylizer.match(wide, look)
    assert matching.pairs == (0, 1) and matching.sentences == ()


def test_a_region_without_measured_cells_takes_the_whole_style(stylizer):
    photo, style = _photo(96, 96, 14), _photo(96, 96, 15, (1.0, 0.4, 0.2))
    style[:48] *= 0.4
    line, half = np.zeros((2, 96, 96), np.int32)
    line[44] = 1  # has 12 cells at level 4; of level 1 odd rows are measured
    half[:48] = 1
    look = stylizer.measure_style(style, Regions(("other", "line"), labels=half))
    regions = Regions(("rest", "line"), labels=line)
    assert stylizer.match(regions, look).pairs == (-1, 1)
    strengths = {4: 0.0, 3: 0.0, 2: 0.0}
    found = stylizer.stylize(photo, look, regions, strengths=strengths)
    whole = stylizer.stylize(photo, look, strengths=strengths)
    assert np.abs(whole - photo).mean() > 1
    np.testing.assert_allclose(found, whole, atol=0.05)


@pytest.mark.extended
def test_each_region_takes_its_own_style(stylizer):
    photo, style = _photo(64, 96, 7), _photo(64, 96, 8)
    style[:, 48:] *= (0.3, 0.3, 1.0)
    labels = np.zeros((64, 96), np.int32)
    labels[:, 48:] = 1
    regions = Regions(("left", "right"), labels=labels)
    look = stylizer.measure_style(style, regions)
    result = stylizer.stylize(photo, look, regions)
    swapped = stylizer.stylize(photo, look, Regions(("right", "left"), labels=labels))
    assert np.abs(result[:, :40] - swapped[:, :40]).mean() > 3


def test_impossible_sizes_are_refused(model):
    with pytest.raises(ConfigError, match="at least 64 pixels, got 10"):
        OnePassStylizer(model, side=10)


@pytest.mark.extended
def test_programs_are_compiled_once_for_all_photos_of_a_bucket(stylizer):
    look = stylizer.measure_style(_photo(50, 60, 9))
    stylizer.stylize(_photo(50, 60, 9), look)
    before = [stage._cache_size() for stage in stylizer._stages]
    stylizer.stylize(_photo(55, 64, 10), look)
    assert [stage._cache_size() for stage in stylizer._stages] == before
    assert jax.tree.leaves(stylizer.model.variables)
