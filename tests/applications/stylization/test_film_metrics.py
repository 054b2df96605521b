"""Flicker and warp error of films whose changes are known."""

import math

import numpy as np
import pytest
import skimage.data

from vgg_unpool_jax.applications.stylization.film_metrics import (
    FilmMeter,
    FlickerMeter,
    WarpErrorMeter,
)


def _flicker(frames, results):
    meter = FlickerMeter()
    for frame, result in zip(frames, results, strict=True):
        meter.add(frame, result)
    return meter.value


def test_flicker_is_the_change_of_the_result_beyond_the_input():
    still = np.full((4, 6, 5, 3), 100, np.uint8)
    assert np.isnan(_flicker(still[:1], still[:1]))
    assert _flicker(still, still) == 0
    blinking = still.copy()
    blinking[1::2] += 6
    assert _flicker(still, blinking) == pytest.approx(6)
    assert _flicker(blinking, still) == 0
    assert _flicker(blinking, blinking) == 0
    half = still.copy()
    half[1::2, :3] -= 10  # uint8: the difference must not wrap around
    assert _flicker(still, half) == pytest.approx(5)
    # A calm half does not make up for one that flickers.
    moving = still.copy()
    moving[1::2, 3:] += 10
    assert _flicker(moving, half) == pytest.approx(5)


@pytest.mark.extended
def test_a_pan_by_whole_pixels_has_no_warp_error():
    scene = skimage.data.astronaut()[:90, 100:260].astype(np.float64)
    still, blinking = WarpErrorMeter(), WarpErrorMeter()
    assert math.isnan(still.value[0])
    for i in range(4):
        frame = scene[:, 3 * i : 3 * i + 140].copy()
        bright = frame * 0.8 + 20
        frame[30:40, 30:40] = 255 * (i % 2)  # where the film does not agree with itself
        still.add(frame, bright)
        blinking.add(frame, bright + 6 * (i % 2))
    assert max(still.value) < 0.5
    assert blinking.value[0] == pytest.approx(6, abs=0.3)
    assert blinking.value[1] == still.value[1]


def test_a_film_in_its_own_colours_is_perfect():
    photo = skimage.data.astronaut()[:40, 100:160]
    meter = FilmMeter(photo.reshape(-1, 3))
    for _ in range(2):
        meter.add(photo, photo)
    text = str(meter)
    assert text.startswith("warp error 0.000 grey levels, the film's own 0.000")
    assert text.endswith("edges (Sobel) 1.000; colours 0.00")
