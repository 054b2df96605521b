"""Walks through codes and pictures of them, with a decoder that shows its codes."""

import numpy as np
import pytest

from vgg_unpool_jax.systems.vae import pictures as vae_pictures
from vgg_unpool_jax.systems.vae.latents import latent_statistics
from vgg_unpool_jax.systems.vae.pictures import (
    draw_interpolations,
    draw_latents,
    draw_samples,
    draw_traversal,
    draw_tsne,
    in_batches,
    walk,
)

SIDE = 4


def _decode(codes):
    """Flat grey images of level 128 + 10 · (first number of the code)."""
    levels = 128.0 + 10.0 * np.asarray(codes, np.float32)[:, 0]
    return np.broadcast_to(levels[:, None, None, None], (len(levels), SIDE, SIDE, 3))


def _means(count, size=3, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


def _statistics(means):
    return latent_statistics(means, np.zeros_like(means))


# --- walks ----------------------------------------------------------------------------


def test_a_walk_goes_straight_from_code_to_code():
    codes = _means(3)
    path = walk(codes, steps=5)
    assert path.shape == (9, 3) and path.dtype == np.float32
    # The ends are the codes themselves, bit for bit, and come once each.
    np.testing.assert_array_equal(path[[0, 4, 8]], codes)
    np.testing.assert_allclose(path[2], (codes[0] + codes[1]) / 2, rtol=1e-6)
    np.testing.assert_allclose(path[6], (codes[1] + codes[2]) / 2, rtol=1e-6)
    for line in (path[:5], path[4:]):
        strides = np.diff(line, axis=0)
        np.testing.assert_allclose(strides, np.tile(strides[0], (4, 1)), atol=1e-6)


# --- pictures -------------------------------------------------------------------------


def test_samples_are_the_same_codes_of_the_prior_every_time():
    seen = []

    def decode(codes):
        seen.append(codes)
        return _decode(codes)

    picture = draw_samples(decode, 64, 25)
    np.testing.assert_array_equal(picture, draw_samples(decode, 64, 25))
    assert picture.shape == (5 * (SIDE + 2) + 2, 5 * (SIDE + 2) + 2, 3)
    codes, again = seen
    np.testing.assert_array_equal(codes, again)
    assert codes.shape == (25, 64) and codes.dtype == np.float32
    assert abs(codes.mean()) < 0.1 and codes.std() == pytest.approx(1.0, abs=0.05)


def test_interpolations_walk_between_the_photos_of_a_pair():
    means = np.zeros((5, 3), np.float32)
    means[:, 0] = [-12.0, 9.0, 0.0, 7.0, 100.0]
    picture = draw_interpolations(_decode, means, rows=6)
    # Two pairs of five photos; eight images in a row, two white pixels between.
    assert picture.shape == (2 * SIDE + 2, 8 * (SIDE + 2) - 2, 3)
    assert (picture[SIDE : SIDE + 2] == 255).all()
    centres = 1 + (SIDE + 2) * np.arange(8)
    for top, ends in ((1, (-12.0, 9.0)), (SIDE + 3, (0.0, 7.0))):
        wanted = 128.0 + 10.0 * np.linspace(*ends, 8)
        np.testing.assert_allclose(picture[top, centres, 0], wanted, atol=0.51)


def test_a_traversal_moves_one_dimension_and_leaves_the_others(monkeypatch):
    asked = {}

    def picture_grid(columns, *, row_labels):
        asked.update(columns=columns, row_labels=row_labels)
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(vae_pictures, "picture_grid", picture_grid)
    # The last dimension matters most.
    means = _means(6, size=10) * np.arange(10, dtype=np.float32)
    code = means[2]
    seen = []

    def decode(codes):
        seen.append(codes)
        return _decode(codes)

    statistics = _statistics(means)
    draw_traversal(decode, code, statistics)
    dimensions = statistics.by_kl()[:8].tolist()
    nats = [f"{statistics.kl[dimension]:.2f}" for dimension in dimensions]
    pairs = zip(dimensions, nats, strict=True)
    assert asked["row_labels"] == [f"z{number}: {kl} nats" for number, kl in pairs]
    values = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    assert list(asked["columns"]) == [f"{value:g}" for value in values]
    (codes,) = seen
    codes = codes.reshape(8, 7, 10)
    for row, dimension in enumerate(dimensions):
        np.testing.assert_array_equal(codes[row, :, dimension], values)
        others = np.delete(codes[row], dimension, axis=1)
        np.testing.assert_array_equal(
            others, np.tile(np.delete(code, dimension), (7, 1))
        )
    # Enlarged by whole pixels to the size of the labels.
    scale = 64 // SIDE
    for column, images in enumerate(asked["columns"].values()):
        assert images.shape == (8, 64, 64, 3)
        expected = _decode(codes[:, column])
        np.testing.assert_array_equal(images[:, ::scale, ::scale], expected)


def test_all_pictures_are_drawn_where_there_is_enough():
    means = _means(4)
    pictures = draw_latents(
        _decode,
        means,
        _statistics(means),
        [None] * 4,
        samples=4,
        interpolations=2,
    )
    assert pictures.keys() == {
        "samples",
        "interpolation",
        "traversal",
        "kl_per_dimension",
        "latent_map",
    }
    for name, picture in pictures.items():
        assert picture.dtype == np.uint8 and picture.shape[2] == 3, name
    assert pictures["samples"].shape[0] == 2 * (SIDE + 2) + 2
    assert pictures["interpolation"].shape[0] == 2 * SIDE + 2


def test_the_traversal_starts_at_the_first_photo():
    def decode(codes):
        return _decode(codes.sum(axis=1, keepdims=True))

    means = _means(4)
    statistics = _statistics(means)
    pictures = draw_latents(
        decode, means, statistics, [None] * 4, samples=4, interpolations=1
    )
    np.testing.assert_array_equal(
        pictures["traversal"], draw_traversal(decode, means[0], statistics)
    )
    other = draw_traversal(decode, means[1], statistics)
    assert (pictures["traversal"] != other).any()


def test_t_sne_needs_four_photos():
    assert draw_tsne(_means(3), [None] * 3) is None
    picture = draw_tsne(_means(4), [None] * 4)
    assert picture.shape == (600, 800, 3)
    np.testing.assert_array_equal(picture, draw_tsne(_means(4), [None] * 4))


@pytest.mark.parametrize("count", [1, 9])
def test_a_decoder_in_batches_is_called_with_one_shape(count):
    shapes = []

    def decode(codes):
        shapes.append(codes.shape)
        return _decode(codes)

    codes = _means(count)
    images = in_batches(decode, size=4)(codes)
    np.testing.assert_array_equal(images, _decode(codes))
    assert set(shapes) == {(4, 3)} and len(shapes) == -(-count // 4)


def test_tsne_takes_some_of_very_many_photos_from_first_to_last(monkeypatch):
    asked = {}

    def latent_map(points, labels, *, title, axis_names):
        asked[title] = (points, labels)
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(vae_pictures, "_TSNE_PHOTOS", 6)
    monkeypatch.setattr(vae_pictures, "latent_map", latent_map)
    monkeypatch.setattr(vae_pictures, "embed_tsne", lambda means, seed: means[:, :2])
    means, labels = _means(11), [str(number) for number in range(11)]
    draw_tsne(means, labels)
    ((title, (points, chosen)),) = asked.items()
    assert title == "posterior means of 6 photos by t-SNE"
    assert chosen == ["0", "2", "4", "6", "8", "10"]
    np.testing.assert_array_equal(points, means[::2, :2])
