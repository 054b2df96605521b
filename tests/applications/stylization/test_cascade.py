"""The cascade on pairs with random weights, and once on the released ones."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from configs.unpooling.base import make_config
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.applications.stylization import transfer as stylizer_module
from vgg_unpool_jax.applications.stylization.canvas import (
    BORDER,
    from_canvas,
    to_canvas,
)
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.applications.stylization.transfer import RIDGE
from vgg_unpool_jax.applications.stylization.transforms import TRANSFORMS
from vgg_unpool_jax.errors import ConfigError, UserError
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.systems.unpooling.pair import Pair
from vgg_unpool_jax.systems.unpooling.shapes import ShapedPrograms


def _quick(pair):
    """The pair by the convolution that compiles in the shortest time."""
    preprocessing = pair.record["preprocessing"]
    pair._encoder = VGG19Encoder(pair.block, preprocessing, convolution="xla")
    pair.decoder = pair.decoder.clone(convolution="xla")
    return pair


def _make_pair(block, seed=0):
    config = make_config(block, "runlocal")
    config.decoder.normalize_features = True
    config.decoder.output_scale = 64.0
    config.decoder.initial_output = 114.0
    weights = random_vgg19_weights(seed, block=block)
    generator = np.random.default_rng(3)
    variables = {"params": {}, "statistics": {}}
    for key, shape in decoder_shapes(block, config.decoder.to_dict()).items():
        collection, *place = key.split("/")
        if collection == "statistics":
            variables[collection][place[0]] = np.full(shape, 60, np.float32)
            continue
        layer, kind = place
        deviation = np.sqrt(2 / np.prod(shape[:-1])) if kind == "kernel" else 0.0
        values = deviation * generator.standard_normal(shape)
        if place == ["block1_conv1", "bias"]:
            values += 114 / 64
        variables[collection].setdefault(layer, {})[kind] = values.astype(np.float32)
    return _quick(Pair(config, weights, variables, 0))


def _photo(height=40, width=60, seed=0, tint=(1.0, 1.0, 1.0)):
    """Soft blobs of all colours."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3))
    blobs = scipy.ndimage.gaussian_filter(noise, (2, 2, 0))
    photo = 128 + 50 * blobs / blobs.std()
    return (photo.clip(0, 255) * tint).astype(np.float32)


def _halves(height, width, names=("left", "right")):
    labels = np.zeros((height, width), np.int32)
    labels[:, width // 2 :] = 1
    return Regions(names, labels=labels)


@pytest.fixture(scope="module")
def pairs():
    """Blocks 1 and 2 on the same random encoder weights."""
    return [_make_pair(1), _make_pair(2)]


@pytest.fixture(scope="module")
def cascade(pairs):
    """Both levels, by wct."""
    return Stylizer(pairs)


@pytest.fixture(scope="module")
def level_1(pairs):
    """The finest level alone, by every transform."""
    return {name: Stylizer(pairs[:1], transform=name) for name in TRANSFORMS}


@pytest.fixture(scope="module")
def style(cascade):
    """Of a reddish photo."""
    return cascade.measure_style(_photo(50, 44, seed=1, tint=(1.0, 0.6, 0.4)))


@pytest.fixture(scope="module")
def other_style(cascade):
    """Of a bluish photo."""
    return cascade.measure_style(_photo(64, 64, seed=2, tint=(0.2, 0.5, 1.0)))


def _reconstruct(pair, photo):
    """By hand: what the pair gives of the canvas."""
    decoded = pair.decode(*pair.encode(to_canvas(photo[None])))
    return np.asarray(from_canvas(decoded, *photo.shape[:2]))[0]


# --- what comes out -------------------------------------------------------------------


def _oracle(pair, photo, regions, photo_style, style_regions):
    """One level by wct in float64, region by region of the same name."""

    def encode(photo, regions):
        features, switches = pair.encode(to_canvas(photo[None]))
        height, width = photo.shape[:2]
        sides = [
            (BORDER, features.shape[1 + i] - BORDER - photo.shape[i]) for i in (0, 1)
        ]
        labels = np.pad(regions.labels, sides, mode="edge")
        inside = np.pad(np.ones((height, width), bool), sides)
        return np.asarray(features[0], np.float64), switches, labels, inside

    def power(covariance, exponent):
        unit = np.trace(covariance) / len(covariance)
        values, vectors = np.linalg.eigh(
            covariance + RIDGE * unit * np.eye(len(covariance))
        )
        return vectors * values**exponent @ vectors.T

    features, switches, labels, inside = encode(photo, regions)
    theirs, _, their_labels, their_inside = encode(photo_style, style_regions)
    moved = np.empty_like(features)
    for index, name in enumerate(regions.names):
        own = features[inside & (labels == index)]
        other = style_regions.names.index(name)
        target = theirs[their_inside & (their_labels == other)]
        matrix = power(np.cov(own.T, ddof=0), -0.5)
        matrix = matrix @ power(np.cov(target.T, ddof=0), 0.5)
        place = labels == index
        moved[place] = (features[place] - own.mean(0)) @ matrix + target.mean(0)
    decoded = pair.decode(np.maximum(moved, 0)[None], switches)
    return np.asarray(from_canvas(decoded, *photo.shape[:2]))[0]


def test_one_level_is_the_formula_region_by_region(pairs, level_1):
    photo, photo_style = _photo(), _photo(50, 44, seed=1, tint=(1.0, 0.6, 0.4))
    regions, turned = _halves(40, 60), _halves(50, 44, ("right", "left"))
    style = level_1["wct"].measure_style(photo_style, turned)
    found = level_1["wct"].stylize(photo, style, regions)
    wanted = _oracle(pairs[0], photo, regions, photo_style, turned)
    assert wanted.std() > 10
    np.testing.assert_allclose(found, wanted, atol=0.2)
    assert np.abs(found - level_1["wct"].stylize(photo, style)).max() > 10


def test_a_cascade_is_its_levels_one_after_another(pairs, cascade, level_1, style):
    photo = _photo()
    found = cascade.stylize(photo, style)
    coarse = Stylizer(pairs[1:])
    # The canvas is not cut between the levels: away from its border the same.
    first = coarse.stylize(photo, style)
    second = level_1["wct"].stylize(first, style)
    difference = np.abs(found - second)[8:-8, 8:-8]
    assert difference.mean() < 0.05 * found.std()
    without = cascade.stylize(photo, style, strengths={2: 0.0})
    np.testing.assert_array_equal(without, level_1["wct"].stylize(photo, style))
    without = cascade.stylize(photo, style, strengths={1: 0})
    np.testing.assert_array_equal(without, first)


def test_alpha_0_is_the_reconstruction_by_all_levels(pairs, cascade, style):
    photo = _photo()
    nothing = cascade.stylize(photo, style, alpha=0.0)
    little = cascade.stylize(photo, style, alpha=1e-5)
    np.testing.assert_allclose(np.median(np.abs(nothing - little)), 0.0, atol=0.05)
    left_out = cascade.stylize(photo, style, strengths={2: 0.0}, alpha=0.0)
    np.testing.assert_allclose(left_out, _reconstruct(pairs[0], photo), atol=1e-2)
    np.testing.assert_array_equal(
        cascade.stylize(photo, style, strengths={1: 0.0, 2: 0.0}), photo
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_its_own_style_leaves_a_photo_its_reconstruction(transform, level_1):
    photo, stylizer = _photo(), level_1[transform]
    style = stylizer.measure_style(photo)
    found = stylizer.stylize(photo, style)
    reconstructed = stylizer.stylize(photo, style, alpha=0.0)
    np.testing.assert_allclose(found, reconstructed, atol=0.05)
    mask = _halves(40, 60)
    found = stylizer.stylize(photo, stylizer.measure_style(photo, mask), mask)
    np.testing.assert_allclose(found, reconstructed, atol=0.05)


def test_detail_comes_back_where_it_is_wanted(pairs, style):
    photo = _photo()
    stylizer = Stylizer(pairs[:1], keep_detail=True)
    found = stylizer.stylize(photo, style, alpha=0.0)
    np.testing.assert_allclose(found, photo, atol=1e-3)


def test_styles_are_mixed_by_shares(cascade, style, other_style):
    photo = _photo()
    alone = cascade.stylize(photo, style)
    np.testing.assert_array_equal(cascade.stylize(photo, [(style, 2.0)]), alone)
    nearly = cascade.stylize(photo, [(style, 3.0), (other_style, 0.0)])
    np.testing.assert_allclose(nearly, alone, atol=0.05)
    half = cascade.stylize(photo, [(style, 1.0), (other_style, 1.0)])
    turned = cascade.stylize(photo, [(other_style, 0.5), (style, 0.5)])
    np.testing.assert_allclose(half, turned, atol=0.05)
    other = cascade.stylize(photo, other_style)
    for end in (alone, other):
        assert np.abs(half - end).mean() < np.abs(alone - other).mean()


# --- bits, batches, compilations ------------------------------------------------------


@pytest.mark.extended
def test_a_batch_is_its_photos_one_by_one(cascade, style):
    photos = np.stack([_photo(), _photo(seed=5)])
    found = cascade.stylize(photos, style, _halves(40, 60))
    assert found.shape == photos.shape and found.dtype == np.float32
    for photo, one in zip(photos, found, strict=True):
        alone = cascade.stylize(photo, style, _halves(40, 60))
        difference = np.abs(one - alone).max(axis=-1)
        # Where two of a window are equal up to rounding, a switch may flip.
        assert difference.mean() < 0.02 and np.mean(difference > 1) < 1e-3


def test_photos_of_one_bucket_share_their_programs(pairs, style, other_style):
    stylizer = Stylizer(pairs)
    jitted = [
        *(pair._jitted_encode for pair in pairs),
        *stylizer._decode.values(),
        *(
            stylizer_module._measure_photos,
            stylizer_module._map_photos,
            stylizer_module._make_maps,
        ),
    ]

    def counts():
        # Encoders keep their programs by shape themselves.
        return [
            len(program._programs)
            if isinstance(program, ShapedPrograms)
            else program._cache_size()
            for program in jitted
        ]

    stylizer.stylize(_photo(33, 64), style)
    before = counts()
    assert min(before) >= 1
    assert [program._cache_size() for program in stylizer._decode.values()] == [1, 1]
    for size, alpha in (((64, 41), 0.3), ((1, 1), 1.0), ((50, 50), 2)):
        stylizer.stylize(_photo(*size), other_style, alpha=alpha)
    assert counts() == before
    stylizer.stylize(_photo(65, 20), style)
    after = [program._cache_size() for program in stylizer._decode.values()]
    assert after == [2, 2]


# --- tiles ----------------------------------------------------------------------------


def _assert_tiled_is_whole(tiled, whole, guide):
    difference = np.abs(tiled - whole).max(axis=-1)
    assert difference.mean() < 0.02
    assert np.mean(difference > 1) < 1e-3
    # No row or column stands out, least of all where tiles meet.
    for axis in (0, 1):
        lines = difference.mean(axis=axis)
        assert lines.max() < 0.2
    smoothed = [np.asarray(smooth("guided", guide, each)) for each in (tiled, whole)]
    assert np.abs(smoothed[0] - smoothed[1]).max() < 1


@pytest.mark.extended
def test_tiles_give_the_whole_photo(pairs):
    photo, regions = _photo(130, 60), _halves(130, 60)
    found, steps = {}, []

    def progress(tiles, desc):
        steps.append((desc, len(tiles)))
        return tiles

    for tile in (0, 128):
        stylizer = Stylizer(pairs, tile=tile)
        style = stylizer.measure_style(_photo(110, 50, 1, (1, 0.6, 0.4)), regions=None)
        steps.clear()
        found[tile] = stylizer.stylize(photo, style, regions, progress=progress)
    assert [desc for desc, _ in steps] == [
        f"block {block}, {step}"
        for block in (2, 1)
        for step in ("statistics", "transfer")
    ]
    assert min(count for _, count in steps) > 1
    assert found[0].std() > 10
    _assert_tiled_is_whole(found[128], found[0], photo)


@pytest.mark.real_data
def test_the_released_pairs_give_a_photo_the_look_of_another(
    vgg19_weights_path, photos_folder
):
    names = "vgg19-block1", "vgg19-block2"
    pairs = [_quick(load_pair(name, vgg19_weights_path)) for name in names]
    files = sorted((photos_folder / "cbsd68").glob("*.png"))
    photo, look = (
        np.asarray(Image.open(file).convert("RGB"), np.float32)[:190, :64]
        for file in (files[3], files[10])
    )
    stylizer = Stylizer(pairs, tile=0)
    style = stylizer.measure_style(look)
    found = stylizer.stylize(photo, style)
    assert np.isfinite(found).all()
    # Mean and deviation of the colours come from the style, the edges from the photo.
    for moment in (np.mean, np.std):
        reached, wanted, before = (
            moment(each, axis=(0, 1)) for each in (found, look, photo)
        )
        assert np.abs(reached - wanted).max() < 0.3 * np.abs(before - wanted).max() + 3
    grey = [np.gradient(each.mean(axis=-1))[0].ravel() for each in (found, photo)]
    assert np.corrcoef(*grey)[0, 1] > 0.5
    reconstructed = stylizer.stylize(photo, style, alpha=0.0)
    assert np.abs(reconstructed - photo).mean() < 5
    tiled = Stylizer(pairs, tile=128)
    _assert_tiled_is_whole(tiled.stylize(photo, style), found, photo)


# --- what is strange ------------------------------------------------------------------


@pytest.mark.parametrize("strange", [_photo(1, 1), np.zeros((64, 64, 3), np.float32)])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_one_pixel_and_black_give_no_nan(transform, strange, level_1):
    stylizer, plain = level_1[transform], _photo()
    plain_style = stylizer.measure_style(plain)
    style = stylizer.measure_style(strange)
    for photo, one in ((plain, style), (strange, plain_style), (strange, style)):
        found = stylizer.stylize(photo, one)
        assert found.shape == photo.shape and np.isfinite(found).all()
    # Its own style leaves it as it is.
    alone = stylizer.stylize(strange, style, alpha=0.0)
    np.testing.assert_allclose(found, alone, atol=0.5)


def test_regions_that_the_style_has_not_take_the_whole_of_it(level_1, style):
    stylizer, photo = level_1["wct"], _photo()
    found = stylizer.stylize(photo, style, _halves(40, 60))
    np.testing.assert_allclose(found, stylizer.stylize(photo, style), atol=0.05)


@pytest.mark.extended
def test_a_mask_of_200_labels(level_1, style):
    stylizer, photo = level_1["wct"], _photo()
    labels = np.arange(40 * 60).reshape(40, 60) % 200
    many = Regions([str(index) for index in range(200)], labels=labels)
    matching = stylizer.match(many, style)
    assert matching.pairs == (-1,) * 200
    assert len(matching.sentences) == 2
    blocks = np.arange(40)[:, None] // 4 * 20 + np.arange(60)[None] // 3
    many = Regions(many.names, labels=blocks.astype(np.int32))
    own = stylizer.measure_style(photo, many)
    assert set(stylizer.match(many, own).pairs) == set(range(200))  # 12 cells each
    found = stylizer.stylize(photo, own, many)
    assert np.isfinite(found).all()
    reconstructed = stylizer.stylize(photo, own, alpha=0.0)
    np.testing.assert_allclose(found, reconstructed, atol=0.1)


# --- what is refused ------------------------------------------------------------------


def test_pairs_that_do_not_go_together_are_refused(pairs):
    with pytest.raises(ConfigError, match=r"blocks 1 and 2 .* different VGG19 weights"):
        Stylizer([_make_pair(1, seed=7), pairs[1]])


def test_styles_of_other_levels_and_weights_are_refused(cascade, level_1):
    photo = _photo()
    short = level_1["wct"].measure_style(photo)
    with pytest.raises(UserError, match="no statistics of block 2, only of 1"):
        cascade.stylize(photo, short)
    # Nor is it asked for where the level is left out.
    assert cascade.stylize(photo, short, strengths={2: 0.0}).shape == photo.shape
    foreign = dataclasses.replace(short, encoders={1: "ff" * 32})
    with pytest.raises(UserError, match="other VGG19 weights"):
        level_1["wct"].stylize(photo, foreign)
