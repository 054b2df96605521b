"""Photos at a smaller size, and results brought back to the photo's size."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.resizing import reduce_to_side, resize


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((30, 40), 0, (30, 40)),
        ((30, 40), 40, (30, 40)),
        ((30, 40), 20, (15, 20)),
        ((400, 1), 20, (20, 1)),
        ((9, 31), 10, (3, 10)),
    ],
)
def test_the_longer_side_is_at_most_the_limit(size, side, expected):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    reduced = reduce_to_side(photo, side)
    assert reduced.shape == (*expected, 3)
    assert (reduced is photo) == (expected == size)
    assert reduced.min() >= 0 and reduced.max() <= 255
    # Antialiased: the mean stays, and noise is averaged.
    assert reduced.mean() == pytest.approx(photo.mean(), abs=6)
    assert reduced.std() <= photo.std()


def test_results_are_enlarged_without_rounding_or_clipping():
    ramp = np.linspace(-20.25, 290.5, 16, dtype=np.float32)
    image = np.stack([np.tile(ramp, (8, 1)), np.tile(ramp[::-1], (8, 1))] * 2, axis=2)
    larger = resize(image[..., :3], (16, 32))
    assert larger.shape == (16, 32, 3) and larger.dtype == np.float32
    # Two pixels for one: a ramp continues in half steps, away from its ends.
    step = (ramp[1] - ramp[0]) / 2
    inner = larger[3:-3, 6:-6]
    np.testing.assert_allclose(np.diff(inner[..., 0], axis=1), step, rtol=1e-3)
    np.testing.assert_allclose(np.diff(inner[..., 1], axis=1), -step, rtol=1e-3)
    assert larger.min() < -15 and larger.max() > 285
    assert resize(image, (8, 16)) is image
