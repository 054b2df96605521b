"""The random flip: which images, how often, under jit."""

import jax
import numpy as np
import pytest

from vgg_unpool_jax.data import make_augmentation


def _images(count):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, 6, 6, 3)).astype(np.float32)


def _keys(seed, count):
    return jax.random.split(jax.random.key(seed), count)


def test_each_image_is_flipped_or_not():
    images = _images(400)
    result = np.asarray(jax.jit(make_augmentation(flip=True))(_keys(1, 400), images))
    same = (result == images).all(axis=(1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    # Four standard deviations of a fair coin.
    assert abs(mirrored.sum() - 200) < 40
    assert result.dtype == np.float32


def test_the_key_decides():
    augment, images = make_augmentation(flip=True), _images(32)
    one = augment(_keys(1, 32), images)
    np.testing.assert_array_equal(one, augment(_keys(1, 32), images))
    assert not np.array_equal(one, augment(_keys(2, 32), images))


def test_without_flip_nothing_changes():
    images = _images(3)
    result = make_augmentation(flip=False)(_keys(1, 3), images)
    np.testing.assert_array_equal(result, images)


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match=r"\(n, H, W, C\), got \(6, 6, 3\)"):
        make_augmentation(flip=True)(_keys(0, 1), _images(1)[0])
