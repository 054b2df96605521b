"""Flicker of a film frame by frame."""

import math

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.flicker_meter import FlickerMeter
from vgg_unpool_jax.applications.stylization.metrics import temporal_flicker


def test_frame_by_frame_gives_what_the_whole_film_gives():
    random = np.random.default_rng(0)
    frames, results = random.integers(0, 256, (2, 7, 9, 11, 3), np.uint8)
    meter = FlickerMeter()
    for number, pair in enumerate(zip(frames, results, strict=True), start=1):
        meter.add(*pair)
        assert meter.frames == number
        if number == 1:
            assert math.isnan(meter.value)
        else:
            wanted = temporal_flicker(frames[:number], results[:number])
            assert meter.value == pytest.approx(wanted)


def test_a_brightening_result_of_a_still_film_flickers_by_its_step():
    meter = FlickerMeter()
    for index in range(5):
        still = np.full((4, 4, 3), 90, np.uint8)
        meter.add(still, still + np.uint8(3 * index))
    assert meter.value == pytest.approx(3)
