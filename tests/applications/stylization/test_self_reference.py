"""Pairs of places of one photo."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from vgg_unpool_jax.applications.stylization.photo_pairs import list_style_pairs
from vgg_unpool_jax.applications.stylization.self_reference import (
    PARTS,
    SIDE,
    draw_pair,
    write_pairs,
)
from vgg_unpool_jax.errors import PhotoError


def _positions(height=300, width=400):
    """A photo whose red and green are the place of each pixel."""
    rows, columns = np.mgrid[:height, :width]
    blue = np.zeros_like(rows)
    photo = [255 * columns / (width - 1), 255 * rows / (height - 1), blue]
    return np.stack(photo, axis=2).round().astype(np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_places_are_apart_and_as_large_as_they_say(seed):
    parts = draw_pair(_positions(), np.random.default_rng(seed))
    boxes = []
    for name in ("style", "target"):
        place = parts[name].astype(float)
        assert place.shape == (SIDE, SIDE, 3)
        red, green = place[..., 0] / 255, place[..., 1] / 255
        boxes.append((red.min(), red.max(), green.min(), green.max()))
        width, height = red.max() - red.min(), green.max() - green.min()
        assert 0.08 < width * height < 0.38
        assert 0.7 < width * 400 / (height * 300) < 1.4
    (a, b, c, d), (e, f, g, h) = boxes
    assert b <= e + 0.01 or f <= a + 0.01 or d <= g + 0.01 or h <= c + 0.01


def test_the_content_is_the_disturbed_target():
    photo = np.full((200, 200, 3), (120, 90, 60), np.uint8)
    lightness, saturation = set(), set()
    for seed in range(12):
        parts = draw_pair(photo, np.random.default_rng(seed))
        assert (parts["target"] == photo[0, 0]).all()
        (before,), (after,) = parts["target"][:1, 0], parts["content"][:1, 0]
        assert np.abs(after.astype(int) - before).max() > 5
        lightness.add(after.mean() > before.mean())
        spread = [np.ptp(color.astype(int)) / color.max() for color in (after, before)]
        saturation.add(spread[0] > spread[1])
    # Factors on both sides of 1.
    assert lightness == saturation == {False, True}


def test_brightness_comes_first_then_contrast_and_saturation():
    class Fixed:
        """Draws places in two corners, factors of 1.3 and no hue."""

        corners = iter((0, 0, 100, 100))

        def uniform(self, low, high):
            return {0.36: 0.1, 0.4: 0.3}.get(high, 0.0)

        def choice(self, signs):
            return max(signs)

        def integers(self, stop):
            return min(next(self.corners), stop - 1)

    photo, fixed = _positions(200, 200), Fixed()
    parts = draw_pair(photo, fixed)
    kinds = ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color
    misses = {}
    for order in itertools.permutations(kinds):
        expected = Image.fromarray(parts["target"])
        for kind in order:
            expected = kind(expected).enhance(1.3)
        difference = np.asarray(expected).astype(int) - parts["content"]
        misses[order] = np.abs(difference).mean()
    # Through HSV of 8 bits and back.
    assert min(misses, key=misses.get) == kinds and misses[kinds] < 1


def test_files_are_pairs_with_targets_and_the_same_again(tmp_path):
    photos = []
    for name in ("a.png", "b.png"):
        Image.fromarray(_positions()).save(tmp_path / name)
        photos.append(tmp_path / name)
    write_pairs(photos, tmp_path / "one")
    write_pairs(photos[1:], tmp_path / "two")
    pairs, left_out = list_style_pairs(tmp_path / "one")
    assert [pair.name for pair in pairs] == ["a", "b"] and not left_out
    assert all(pair.target is not None for pair in pairs)
    for part in PARTS:
        both = [(tmp_path / of / part / "b.png").read_bytes() for of in ("one", "two")]
        assert both[0] == both[1]
    a, b = ((tmp_path / "one" / "style" / f"{n}.png").read_bytes() for n in "ab")
    assert a != b  # drawn by name


def test_a_photo_without_two_places_is_refused():
    with pytest.raises(PhotoError, match="no two places"):
        draw_pair(np.zeros((8, 400, 3), np.uint8), np.random.default_rng(0))
