"""Shots of films whose cuts and dissolves are known."""

import math

import numpy as np
import pytest
import scipy.ndimage

from vgg_unpool_jax.applications.stylization.shots import (
    THUMBNAIL,
    choose_keyframes,
    contrast,
    find_shots,
    thumbnail,
)


def _scene(seed, size=(72, 400)):
    """A picture (h, w, 3) of soft patches."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    soft = scipy.ndimage.gaussian_filter(noise, (6, 6, 0))
    return np.clip(128 + 50 * soft / soft.std(), 0, 255)


def _pan(seed, frames, speed):
    """Thumbnails of a view of 72×128 pixels that moves to the right."""
    scene = _scene(seed)
    views = [scene[:, int(speed * i) : int(speed * i) + 128] for i in range(frames)]
    random = np.random.default_rng(seed)
    views = [view + random.normal(0, 3, view.shape) for view in views]
    return np.stack([thumbnail(np.clip(view, 0, 255)) for view in views])


def _mixed(before, after, shares):
    shares = np.asarray(shares)[:, None, None, None]
    return np.rint((1 - shares) * before + shares * after).astype(np.uint8)


def test_cuts_are_found_and_motion_is_none():
    parts = [_pan(0, 30, 0), _pan(1, 25, 6), _pan(2, 3, 1), _pan(3, 40, 2.5)]
    film = np.concatenate(parts)
    expected = np.repeat(np.arange(4), [len(part) for part in parts])
    np.testing.assert_array_equal(find_shots(film), expected)
    assert not find_shots(film, cut=math.inf).any()


def test_frames_of_a_dissolve_are_between_its_shots():
    before, after = _pan(4, 60, 0.5), _pan(5, 60, 0.5)
    shares = np.arange(1, 21) / 21
    mixed = _mixed(before[-20:], after[:20], shares)
    positions = find_shots(np.concatenate([before[:-20], mixed, after[20:]]))
    np.testing.assert_allclose(positions[40:60], shares, atol=0.1)
    assert not positions[:32].any() and (positions[68:] == 1).all()
    assert (np.diff(positions) >= 0).all()


def test_a_flash_is_no_cut():
    film = _pan(6, 20, 0)
    film[9] = 255
    assert not find_shots(film).any()


@pytest.mark.parametrize("length", [0, 15])
def test_a_fade_through_black_is_one_cut(length):
    before, after = _pan(7, 40, 0.5), _pan(8, 40, 0.5)
    falling = np.linspace(1, 0, 21)
    black = np.zeros((length, *THUMBNAIL, 3), np.uint8)
    film = [
        before[:20],
        _mixed(0 * before[20:], before[20:], falling[1:]),
        black,
        _mixed(0 * after[:20], after[:20], falling[:-1][::-1]),
        after[20:],
    ]
    film = np.concatenate(film)
    positions, contrasts = find_shots(film), contrast(film)
    (cut,) = np.flatnonzero(np.diff(positions)) + 1
    assert 38 + length <= cut <= 44 + length and positions[-1] == 1
    # Dark frames do not stand for the picture.
    for shot, part in enumerate((before, after)):
        chosen = choose_keyframes(positions, contrasts, shot, 4)
        assert contrasts[chosen].min() > contrast(part).mean() / 3


def test_a_film_that_begins_black_has_one_shot():
    film = np.concatenate([np.zeros((10, *THUMBNAIL, 3), np.uint8), _pan(9, 20, 1)])
    assert not find_shots(film).any()
    np.testing.assert_array_equal(
        choose_keyframes(np.zeros(30), contrast(film), 0, 4), [12, 17, 22, 27]
    )


def test_a_short_shot_has_its_frames_several_times():
    film = np.concatenate([_pan(0, 10, 0), _pan(1, 2, 0)])
    positions = find_shots(film)
    chosen = choose_keyframes(positions, contrast(film), 1, 4)
    np.testing.assert_array_equal(chosen, [10, 10, 11, 11])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_films_of_few_frames(frames):
    film = _pan(0, frames, 1)
    assert not find_shots(film).any()
    assert choose_keyframes(np.zeros(frames), contrast(film), 0, 4).max() < frames


def test_long_films_are_compared_in_blocks():
    scenes = _pan(0, 1, 0)[0], _pan(1, 1, 0)[0]
    film = np.stack([scenes[i // 700 % 2] for i in range(2800)])
    np.testing.assert_array_equal(find_shots(film), np.arange(2800) // 700)


def test_contrast_is_the_deviation_of_the_pixels():
    film = np.zeros((2, *THUMBNAIL, 3), np.uint8)
    film[1, :, ::2] = 40
    np.testing.assert_allclose(contrast(film), [0, 20])
