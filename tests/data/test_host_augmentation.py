"""Changes of crops on the host against analytic cases."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data.host_augmentation import HostAugmentation
from vgg_unpool_jax.errors import ConfigError


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)


def _draws(augmentation, photo, count=64):
    return [augmentation(photo, np.random.default_rng(seed)) for seed in range(count)]


def test_flips_and_turns_are_the_symmetries_of_the_square(photo):
    flips = {image.tobytes() for image in _draws(HostAugmentation(flip=True), photo)}
    assert flips == {photo.tobytes(), photo[:, ::-1].tobytes()}
    turns = {image.tobytes() for image in _draws(HostAugmentation(turn=True), photo)}
    wanted = [np.rot90(side, k) for side in (photo, photo[:, ::-1]) for k in range(4)]
    assert turns == {image.tobytes() for image in wanted}


def test_nothing_is_changed_by_default(photo):
    np.testing.assert_array_equal(_draws(HostAugmentation(), photo, 1)[0], photo)


def test_jitter_stays_within_its_factors():
    flat = np.full((4, 4, 3), 100, np.uint8)
    means = [image.mean() for image in _draws(HostAugmentation(jitter=0.2), flat)]
    # Contrast and saturation leave a flat grey photo alone.
    assert 79 <= min(means) < 85 and 115 < max(means) <= 121


def test_without_a_shift_of_the_hue_there_is_no_round_trip_through_hsv(photo):
    # It changes values by up to 6.
    for image in _draws(HostAugmentation(jitter=1e-9), photo, 4):
        assert np.abs(image.astype(int) - photo).max() <= 1


def test_hue_turns_about_the_circle():
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    hues = []
    for image in _draws(HostAugmentation(hue=0.1), red):
        hue, saturation, value = np.array(Image.fromarray(image).convert("HSV"))[0, 0]
        assert saturation == value == 255
        hues.append((int(hue) + 128) % 256 - 128)
    assert -26 <= min(hues) < -15 and 15 < max(hues) <= 26


def test_the_change_of_size_is_about_the_centre():
    # A square of half the side keeps its centre and changes its area.
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[16:48, 16:48] = 255
    sides = []
    for image in _draws(HostAugmentation(scale=0.25), photo):
        mass = image[..., 0] / 255.0
        places = np.arange(64) - 31.5
        assert abs((mass.sum(0) * places).sum() / mass.sum()) < 0.05
        assert abs((mass.sum(1) * places).sum() / mass.sum()) < 0.05
        sides.append(mass.sum() ** 0.5 / 32)
    assert 0.74 < min(sides) < 0.82 and 1.18 < max(sides) < 1.26


def test_photos_lose_their_colour_and_border(photo):
    augmentation = HostAugmentation(gray_share=1.0, size=6)
    image = _draws(augmentation, photo, 1)[0]
    luma = np.asarray(Image.fromarray(photo).convert("L"))[3:9, 3:9]
    np.testing.assert_array_equal(image, np.stack([luma] * 3, -1))


def test_what_is_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"augmentation\.hue must lie in \[0, 0\.5\]"):
        HostAugmentation(hue=0.6)
