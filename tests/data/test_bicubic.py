"""Bicubic change of size against Pillow, JAX, and a published table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.data.bicubic import (
    bicubic_taps,
    reduce_bicubic,
    resize_bicubic,
)


@pytest.fixture
def photo():
    return make_source("samples")[0][:48, :64]


@pytest.mark.parametrize(("height", "width"), [(12, 16), (192, 256), (36, 80)])
def test_away_from_the_borders_it_is_that_of_jax_and_pillow(photo, height, width):
    found = resize_bicubic(photo.astype(np.float64), height, width)
    shape = height, width, 3
    expected = jax.image.resize(jnp.asarray(photo, jnp.float32), shape, "cubic")
    # As far as the kernel reaches, at the larger of both sizes.
    border = 2 * max(1, height // 48 + 1)
    inner = (slice(border, -border),) * 2
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-3)
    rounded = resize_bicubic(photo, height, width)
    assert rounded.dtype == np.uint8
    pillow = Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC)
    difference = rounded[inner].astype(int) - np.asarray(pillow)[inner]
    # Pillow rounds and clips after each direction.
    assert np.abs(difference).max() <= 2 and np.abs(difference).mean() < 0.5


def test_borders_are_mirrored():
    ramp = np.array([0.0, 1.0, 2.0, 3.0])[:, None, None]
    mirrored = np.concatenate([ramp[::-1], ramp, ramp[::-1]])
    whole = resize_bicubic(mirrored, 24, 1)
    np.testing.assert_allclose(resize_bicubic(ramp, 8, 1), whole[8:16], atol=1e-12)


def test_weights_add_up_to_one_and_a_constant_stays():
    for inputs, outputs in ((7, 28), (28, 7), (9, 11)):
        positions, weights = bicubic_taps(inputs, outputs)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
        assert positions.min() >= 0 and positions.max() < inputs
    flat = np.full((8, 12, 3), 91, np.uint8)
    np.testing.assert_array_equal(reduce_bicubic(flat, 4), 91)


def test_sizes_that_cannot_be(photo):
    with pytest.raises(ValueError, match="multiples of 5, got 48×64"):
        reduce_bicubic(photo, 5)
    with pytest.raises(ValueError, match="at least 1, got 0×3"):
        resize_bicubic(photo, 0, 3)


def test_a_published_table(photos_folder):
    """Bicubic enlargement of Set5 by 4 has 28.42 dB."""
    source = make_source(f"folder:{photos_folder / 'set5'}")
    psnr = []
    for photo in (source[index] for index in range(len(source))):
        photo = photo[: photo.shape[0] // 4 * 4, : photo.shape[1] // 4 * 4]
        found = resize_bicubic(reduce_bicubic(photo, 4), *photo.shape[:2])
        luma = [
            16 + image.astype(np.float64) @ [65.481, 128.553, 24.966] / 255
            for image in (found, photo)
        ]
        error = np.subtract(*luma)[4:-4, 4:-4]
        psnr.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(psnr) == pytest.approx(28.42, abs=0.02)
