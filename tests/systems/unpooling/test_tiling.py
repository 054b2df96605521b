"""Tiles give what the whole image gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.systems.unpooling.decoder import UnpoolingDecoder
from vgg_unpool_jax.systems.unpooling.tiling import (
    receptive_margin,
    reconstruct_tiled,
    tile_spans,
)

BLOCKS = (1, 2, 3, 4, 5)


def _pair(block):
    """A reconstruction with random weights of a size that keeps contrasts alive."""
    # The deep ones would compile for most of a minute the other way.
    options = {"convolution": "xla" if block > 3 else "auto"}
    encoder = VGG19Encoder(block, **options)
    decoder = UnpoolingDecoder(block, **options)
    images = jnp.zeros((1, 16, 16, 3))
    params = jax.jit(encoder.init)(jax.random.key(0), images)
    features, inner = jax.jit(encoder.apply)(params, images)
    weights = jax.jit(decoder.init)(jax.random.key(1), features, inner["switches"])

    @jax.jit
    def reconstruct(images):
        _, height, width, _ = images.shape
        padded = pad_to_multiple(images, size_multiple(block))
        features, inner = encoder.apply(params, padded)
        outputs, _ = decoder.apply(weights, features, inner["switches"])
        return outputs[:, :height, :width]

    return reconstruct


def _photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_margins_of_all_blocks():
    # By hand at block 1: two convolutions in the encoder and two in the decoder. At
    # block 2 an even pixel p: decoder 2, halved, 2 more at half size, the encoder the
    # same way back, so p - 2 -> (p - 2)/2 - 4 -> p - 10 -> p - 12 to the left and
    # (p + 2)/2 + 4 -> p + 11 -> p + 13 to the right.
    assert [receptive_margin(block) for block in BLOCKS] == [4, 13, 31, 83, 187]


@pytest.mark.parametrize("block", [1, 2])
def test_a_reconstruction_looks_as_far_as_its_margin_and_no_farther(block):
    reconstruct, margin = _pair(block), receptive_margin(block)
    multiple = size_multiple(block)
    side = 2 * (margin + 2 * multiple) // multiple * multiple
    photo = _photo(side, multiple).astype(np.float32)[None]
    before = np.asarray(reconstruct(photo))
    reached = 0
    for row in range(side // 2 - multiple, side // 2):  # every place in the grid
        changed = photo.copy()
        changed[:, row] = 255 - changed[:, row]
        moved = np.abs(np.asarray(reconstruct(changed)) - before).max(axis=(0, 2, 3))
        places = np.flatnonzero(moved > 0)
        reached = max(reached, row - places.min(), places.max() - row)
    # Random ReLUs need not use the whole field, but nothing may lie outside it.
    assert margin / 2 < reached <= margin


@pytest.mark.parametrize(
    ("block", "size", "tile"),
    [
        (1, (37, 50), 20),
        (3, (150, 90), 96),
        pytest.param(5, (530, 17), 512, marks=pytest.mark.extended),
    ],
)
def test_tiles_give_the_whole_image(block, size, tile):
    reconstruct, photo = _pair(block), _photo(*size)
    shapes = set()

    def counted(images):
        shapes.add(images.shape)
        return reconstruct(images)

    ours = reconstruct_tiled(counted, photo, block=block, tile=tile)
    wanted = np.asarray(reconstruct(photo[None].astype(np.float32)))[0]
    assert ours.shape == wanted.shape
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(ours, wanted, atol=1e-4 * scale)
    assert len(shapes) == 1  # compiled once
    assert max(next(iter(shapes))[1:3]) <= tile < max(size)


def test_a_margin_that_is_too_small_would_show():
    reconstruct, photo = _pair(2), _photo(96, 40)
    wanted = np.asarray(reconstruct(photo[None].astype(np.float32)))[0]
    spans = tile_spans(96, 48, 4, 2)
    rows = [
        np.asarray(reconstruct(photo[None, s.start : s.stop].astype(np.float32)))[0][
            s.inner
        ]
        for s in spans
    ]
    worst = max(
        np.abs(row - wanted[s.outer]).max() for row, s in zip(rows, spans, strict=True)
    )
    assert worst > 1e-3 * np.abs(wanted).max()


def test_tiles_are_no_longer_than_their_number_needs():
    # 1080 rows need two tiles of at most 1024 at block 5; two of 760 will do:
    # 1080 = 760 + 760 - 440, and of the common 440 the margins are 2·192.
    spans = tile_spans(1080, 1024, 187, 64)
    assert [(span.start, span.stop) for span in spans] == [(0, 760), (320, 1080)]
    assert len(tile_spans(1080, 760 - 64, 187, 64)) > 2
    # Each length of a tile is a program to compile: photos of all sizes share a few.
    lengths = {
        tile_spans(length, 1024, 187, 64)[0].stop for length in range(1040, 4096, 16)
    }
    assert len(lengths) <= 16


@pytest.mark.parametrize(
    ("length", "tile", "margin", "multiple"),
    [
        (65 * 4, 64, 8, 4),
        (128, 64, 13, 2),
        (1082, 1024, 187, 64),
    ],
)
def test_spans_cover_a_side_with_what_is_right(length, tile, margin, multiple):
    covered = np.zeros(length, bool)
    for span in tile_spans(length, tile, margin, multiple):
        assert span.start % multiple == 0 and span.stop - span.start <= tile
        inner = range(*span.inner.indices(span.stop - span.start))
        assert inner[0] >= margin or span.start == 0
        assert span.stop - span.start - 1 - inner[-1] >= margin or span.stop == length
        assert span.outer.start == span.start + inner[0]
        covered[span.outer] = True
    assert covered.all()


def test_several_tiles_are_done_together_in_one_shape():
    shapes = []

    def identity(images):
        shapes.append(images.shape)
        return images

    photo = _photo(40, 60)
    result = reconstruct_tiled(identity, photo, block=1, tile=24, batch=3)
    np.testing.assert_array_equal(result, photo)
    assert shapes == 3 * [(3, 24, 24, 3)]  # eight tiles and one that fills up
