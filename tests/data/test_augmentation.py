"""The random flip: which images, how often, under jit."""

import jax
import numpy as np

from vgg_unpool_jax.data import make_augmentation


def _images(count):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, 6, 6, 3)).astype(np.float32)


def _keys(seed, count):
    return jax.random.split(jax.random.key(seed), count)


def test_each_image_is_flipped_or_not():
    images = _images(400)
    arrays = {"image": images, "input": 255.0 - images, "index": np.arange(400)}
    flipped = jax.jit(make_augmentation(flip=True))(_keys(1, 400), arrays)
    result = np.asarray(flipped["image"])
    same = (result == images).all(axis=(1, 2, 3))
    mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    # Four standard deviations of a fair coin.
    assert abs(mirrored.sum() - 200) < 40
    assert result.dtype == np.float32
    # All images of a photo alike; what is no image stays.
    np.testing.assert_array_equal(flipped["input"], 255.0 - result)
    np.testing.assert_array_equal(flipped["index"], np.arange(400))


def test_the_key_decides():
    images = {"image": _images(32)}

    def augment(seed):
        return make_augmentation(flip=True)(_keys(seed, 32), images)["image"]

    np.testing.assert_array_equal(augment(1), augment(1))
    assert not np.array_equal(augment(1), augment(2))
