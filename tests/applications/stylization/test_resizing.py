"""Smaller photos, and results brought back to the photo's size."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization.resizing import (
    enlarge_to_size,
    reduce_to_side,
)


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [
        ((30, 40), 0, (30, 40)),
        ((30, 40), 40, (30, 40)),
        ((30, 40), 20, (15, 20)),
        ((400, 1), 20, (20, 1)),
        ((9, 31), 10, (3, 10)),
    ],
)
def test_the_longer_side_is_at_most_the_limit(size, side, wanted):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    reduced = reduce_to_side(photo, side)
    assert reduced.shape == (*wanted, 3) and reduced.dtype == np.uint8
    if wanted == size:
        assert reduced is photo
    else:
        image = Image.fromarray(photo).resize(wanted[::-1], Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(reduced, np.asarray(image))


def test_results_are_enlarged_without_rounding_or_clipping():
    ramp = np.linspace(-20.25, 290.5, 16, dtype=np.float32)
    image = np.stack([np.tile(ramp, (8, 1)), np.tile(ramp[::-1], (8, 1))] * 2, axis=2)
    larger = enlarge_to_size(image[..., :3], 16, 32)
    assert larger.shape == (16, 32, 3) and larger.dtype == np.float32
    # Two pixels for one: a ramp goes on in half steps, away from its ends.
    step = (ramp[1] - ramp[0]) / 2
    inner = larger[3:-3, 6:-6]
    np.testing.assert_allclose(np.diff(inner[..., 0], axis=1), step, rtol=1e-3)
    np.testing.assert_allclose(np.diff(inner[..., 1], axis=1), -step, rtol=1e-3)
    assert larger.min() < -15 and larger.max() > 285
    assert enlarge_to_size(image, 8, 16) is image
