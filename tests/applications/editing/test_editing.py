"""Edits in feature space, on an untrained pair: analytic cases and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.unpooling.base import make_config
from vgg_unpool_jax.applications.editing.chain import reencode
from vgg_unpool_jax.applications.editing.directions import (
    drop_directions,
    principal_directions,
    scale_directions,
)
from vgg_unpool_jax.applications.editing.photo_pairs import (
    interpolate,
    swap_switches,
    switch_agreement,
)
from vgg_unpool_jax.applications.editing.photos import (
    decode_photo_features,
    encode_photo,
    match_size,
)
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.pair import Pair


@pytest.fixture(scope="module")
def pair():
    """Random encoder and decoder of block 2 whose pictures lie within [0, 255]."""
    config = make_config(2, "runlocal")
    config.decoder.output_scale = 8.0
    config.decoder.initial_output = 114.0
    weights = random_vgg19_weights(3, block=2)
    encoder, decoder = make_pair_models(config, weights.preprocessing)
    images = jnp.zeros((1, 16, 16, 3))
    features, found = encoder.apply({"params": weights.params}, images)
    variables = jax.jit(decoder.init)(jax.random.key(1), features, found["switches"])
    return Pair(config, weights, variables, step=0)


def _photo(height=13, width=18, seed=0):
    shape = (height, width, 3)
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def _rebuilt(pair, photo):
    return np.asarray(pair.reconstruct(photo[None]))[0]


def _assert_equal(images, wanted):
    np.testing.assert_allclose(images, wanted, atol=0.02)


def test_the_pair_tells_photos_apart(pair):
    first, second = (_rebuilt(pair, _photo(seed=seed)) for seed in (0, 1))
    assert np.abs(first - second).mean() > 1
    assert 0 < np.mean((first > 0) & (first < 255))


@pytest.mark.parametrize("switches", ["nearest", "blend"])
def test_an_interpolation_runs_from_one_reconstruction_to_the_other(pair, switches):
    first, second = _photo(), _photo(seed=1)
    images = interpolate(pair, first, second, 3, switches=switches)
    assert images.shape == (3, 13, 18, 3) and images.dtype == np.float32
    _assert_equal(images[0], _rebuilt(pair, first))
    _assert_equal(images[2], _rebuilt(pair, second))


def test_an_interpolation_mixes_features_and_keeps_the_chosen_switches(pair):
    first, second = _photo(16, 16), _photo(16, 16, seed=1)
    (features, codes), (others, other_codes) = (
        pair.encode(photo[None]) for photo in (first, second)
    )
    mixed = 0.75 * features + 0.25 * others
    with_first, with_second = (
        np.clip(np.asarray(pair.decode(mixed, c))[0], 0, 255)
        for c in (codes, other_codes)
    )
    assert np.abs(with_first - with_second).mean() > 0.5
    for switches, wanted in (
        ("first", with_first),
        ("second", with_second),
        ("nearest", with_first),
        ("blend", 0.75 * with_first + 0.25 * with_second),
    ):
        images = interpolate(pair, first, second, 5, switches=switches)
        _assert_equal(images[1], wanted)


def test_principal_directions_are_those_of_numpy():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(1, 9, 11, 6)) @ rng.normal(size=(6, 6)) + 3.0
    samples = features.reshape(-1, 6)
    found = principal_directions(features, 4)
    _, values, vectors = np.linalg.svd(samples - samples.mean(0), full_matrices=False)
    np.testing.assert_allclose(found.mean, samples.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.variances, values[:4] ** 2 / 99, rtol=1e-4)
    np.testing.assert_allclose(
        np.abs(found.vectors @ vectors[:4].T), np.eye(4), atol=1e-3
    )
    shares = values**2 / np.sum(values**2)
    np.testing.assert_allclose(found.explained(), shares[:4], rtol=1e-4)
    largest = np.abs(found.vectors).argmax(1)
    assert (np.asarray(found.vectors)[np.arange(4), largest] > 0).all()


def test_constant_features_explain_nothing():
    found = principal_directions(np.ones((1, 2, 2, 3)), 2)
    np.testing.assert_array_equal(found.explained(), [0, 0])


def test_a_factor_of_one_changes_nothing_and_zero_drops(pair):
    photo = _photo()
    images = scale_directions(pair, photo, 3, [1.0, 0.0, 2.0])
    _assert_equal(images[0], _rebuilt(pair, photo))
    dropped = drop_directions(pair, photo, [0, 3, 5])
    _assert_equal(dropped[0], _rebuilt(pair, photo))
    _assert_equal(dropped[1], images[1])
    assert np.abs(dropped[2] - dropped[1]).max() > 0.1
    assert np.abs(images[2] - images[0]).max() > 0.1


def test_without_any_direction_the_mean_feature_is_left(pair):
    photo = _photo()
    image = drop_directions(pair, photo, [128])[0]
    features, switches = encode_photo(pair, photo)
    flat = jnp.broadcast_to(features.mean((0, 1, 2)), features.shape)
    mean = decode_photo_features(pair, flat, switches, photo.shape[:2])
    np.testing.assert_allclose(image, mean, atol=0.2)


def test_swapping_back_gives_what_was_there(pair):
    first, second = _photo(), _photo(seed=1)
    swapped = swap_switches(pair, first, second)
    _assert_equal(swapped[::-1], swap_switches(pair, second, first))
    same = swap_switches(pair, first, first)
    _assert_equal(same, np.stack([_rebuilt(pair, first)] * 2))
    (features, _), (_, codes) = (encode_photo(pair, each) for each in (first, second))
    decoded = decode_photo_features(pair, features, codes, first.shape[:2])
    _assert_equal(swapped[0], decoded)


def test_a_chain_is_reconstruction_upon_reconstruction(pair):
    photo = _photo()
    alone = reencode(pair, photo, 0)
    np.testing.assert_array_equal(alone.images, photo[None])
    np.testing.assert_array_equal(alone.from_photo, [0])
    chain = reencode(pair, photo, 2)
    once = _rebuilt(pair, photo)
    twice = _rebuilt(pair, once)
    _assert_equal(chain.images, np.stack([photo, once, twice]))
    errors = [0, np.abs(once - photo).mean(), np.abs(twice - photo).mean()]
    np.testing.assert_allclose(chain.from_photo, errors, atol=0.01)
    steps = [0, np.abs(once - photo).mean(), np.abs(twice - once).mean()]
    np.testing.assert_allclose(chain.from_previous, steps, atol=0.01)


def test_the_agreement_of_switches_is_counted_at_every_pool():
    first = [np.array([[0, 1], [2, 3]]), np.array([1])]
    second = [np.array([[0, 1], [2, 0]]), np.array([2])]
    assert switch_agreement(first, second) == [0.75, 0.0]


def test_sizes_are_matched_by_the_largest_centred_part():
    photo = np.zeros((20, 60, 3), np.float32)
    photo[:, 20:40] = 200.0
    # The kernel reaches two pixels of the result beyond the part that is cut out.
    middle = match_size(photo, (10, 10))[:, 2:-2]
    np.testing.assert_allclose(middle, 200.0, atol=1e-3)
    assert match_size(photo, (10, 30)).shape == (10, 30, 3)
