"""Films through a network that is an affine map of the shot's mean colour."""

import types
from fractions import Fraction

import numpy as np
import pytest
import scipy.ndimage

from vgg_unpool_jax.applications.stylization.color_metrics import lab_distance
from vgg_unpool_jax.applications.stylization.looks import Look
from vgg_unpool_jax.applications.stylization.regions import Matching
from vgg_unpool_jax.applications.stylization.style_statistics import StyleStatistics
from vgg_unpool_jax.applications.stylization.video import VideoStylizer
from vgg_unpool_jax.applications.stylization.video_files import Frame
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.ops.moments import Moments

_PLAIN = Look("ot", {}, 0.05, 30.0, rounds=0)
_TARGET = np.float32([150, 120, 100])


class _Network:
    """Moves colours by what the mean lacks of a target, and halves their contrast."""

    blocks = (1,)

    def __init__(self):
        self.photos = []

    def match(self, regions, style):
        return Matching((-1,), ())

    def stylize(self, photos, styles, *, adjust, alpha, strengths):
        photos = np.asarray(photos, np.float32)
        batch = photos[None] if photos.ndim == 3 else photos
        self.photos.append(batch)
        flat = batch.reshape(len(batch), 1, -1, 3)
        measured = Moments(
            np.full((len(batch), 1), flat.shape[2], np.float32),
            flat.mean(axis=2),
            np.zeros((len(batch), 1, 3, 3), np.float32),
        )
        mean = adjust(1, measured).mean[:, :, None]
        assert mean.shape == (len(batch), 1, 1, 3)
        return (_TARGET + (batch - mean) / 2).reshape(photos.shape)


def _scene(seed, frames, drift=0.0):
    """Frames of soft patches, 36×64 pixels, that grow brighter."""
    noise = np.random.default_rng(seed).normal(size=(36, 64, 3))
    soft = scipy.ndimage.gaussian_filter(noise, (3, 3, 0))
    scene = 110 + 30 * soft / soft.std() + 10 * np.random.default_rng(seed).normal()
    scenes = [scene + drift * i for i in range(frames)]
    return [np.clip(np.rint(scene), 0, 255).astype(np.uint8) for scene in scenes]


def _style(seed=99):
    colors = np.random.default_rng(seed).normal(_TARGET, 25, (1, 4096, 3))
    moments = {1: Moments(np.ones(1), np.zeros((1, 3)), np.zeros((1, 3, 3)))}
    colors = np.clip(colors, 0, 255).astype(np.float32)
    return StyleStatistics(("all",), moments, {1: ""}, colors)


def _run(frames, **options):
    film = [Frame(str(i), Fraction(i, 25), pixels) for i, pixels in enumerate(frames)]
    work = VideoStylizer(_Network(), _style(), **{"look": _PLAIN} | options)
    return work, np.stack([pixels for _, pixels in work.stylize(lambda: film)])


@pytest.mark.parametrize(
    "smoothing",
    ["none", "difference", pytest.param("lut", marks=pytest.mark.extended)],
)
def test_the_map_of_a_shot_is_that_of_its_keyframes(smoothing):
    first, second = _scene(0, 16, drift=2), _scene(1, 8)
    work, results = _run(first + second, smoothing=smoothing)
    assert work.cuts == [16] and not work.dissolves
    keyframes = np.stack([first[i] for i in (2, 6, 10, 14)])
    for frames, mean, part in (
        (first, keyframes.mean(axis=(0, 1, 2)), results[:16]),
        (second, second[0].mean(axis=(0, 1)), results[16:]),
    ):
        expected = _TARGET + (np.stack(frames) - mean) / 2
        differences = part - expected
        if smoothing != "none":  # which keep their own contrast
            differences = differences.mean(axis=(1, 2))
        assert np.abs(differences).max() <= (0.51 if smoothing == "none" else 2.5)


@pytest.mark.parametrize("smoothing", ["difference", "guided"])
@pytest.mark.extended
def test_a_cut_begins_again(smoothing):
    first, second = _scene(2, 9, drift=1), _scene(3, 9, drift=-1)
    look = Look("ot", {}, 0.05, 30.0, rounds=1)
    work, whole = _run(first + second, smoothing=smoothing, look=look)
    assert work.cuts == [9]
    for frames, part in ((first, whole[:9]), (second, whole[9:])):
        np.testing.assert_array_equal(
            _run(frames, smoothing=smoothing, look=look)[1], part
        )
    _, never = _run(first + second, smoothing=smoothing, look=look, cut=0)
    assert (never != whole).any()


def test_looks_are_mixed_over_a_dissolve():
    before, after = (np.float32(_scene(seed, 1)[0]) for seed in (4, 5))
    shares = np.concatenate([np.zeros(20), np.arange(1, 12) / 12, np.ones(20)])
    frames = [np.rint((1 - s) * before + s * after).astype(np.uint8) for s in shares]
    work, results = _run(frames, smoothing="none")
    assert not work.cuts and work.dissolves[0][0] >= 10
    means = [frame.mean(axis=(0, 1)) for frame in (before, after)]
    for share, frame, result in zip(shares, frames, results, strict=True):
        mean = (1 - share) * means[0] + share * means[1]
        assert np.abs(result - (_TARGET + (frame - mean) / 2)).max() < 1.5
    assert work.flicker < 0.2


def test_still_frames_are_still_and_texture_keeps_its_contrast():
    frames = _scene(6, 6)
    random = np.random.default_rng(0)
    noise = random.normal(0, 3, (6, *frames[0].shape))
    noisy = np.clip(frames + noise, 0, 255).astype(np.uint8)
    work, results = _run(frames)
    assert (results == results[0]).all() and work.flicker == 0
    changes = [np.abs(np.diff(x.astype(float), axis=0)).mean() for x in (noisy, noisy)]
    for index, smoothing in enumerate(("difference", "none")):
        _, moved = _run(noisy, smoothing=smoothing)
        changes[index] /= np.abs(np.diff(moved.astype(float), axis=0)).mean()
    # Behind the network, which halves all contrast, noise has half its height.
    np.testing.assert_allclose(changes, [1, 2], atol=0.12)


@pytest.mark.extended
def test_colours_are_matched_once_a_shot():
    frames, style = _scene(7, 4), _style().colors
    look = Look("ot", {}, 0.05, 30.0, rounds=2)
    plain, matched = (_run(frames, look=each)[1][0] for each in (_PLAIN, look))
    style = style.astype(np.uint8)
    assert lab_distance(matched, style) < 0.7 * lab_distance(plain, style)


def test_a_side_limit_is_for_the_network_alone():
    frames = _scene(8, 3)
    network = _Network()
    film = [Frame(str(i), Fraction(i), pixels) for i, pixels in enumerate(frames)]
    work = VideoStylizer(network, _style(), look=_PLAIN, max_side=32)
    (_, result), *_ = work.stylize(lambda: film)
    assert result.shape == (36, 64, 3)
    assert [batch.shape for batch in network.photos] == [(4, 18, 32, 3)]


def test_of_a_film_that_breaks_off_the_frames_before_are_stylised():
    frames = _scene(9, 5)

    def read():
        for index, pixels in enumerate(frames):
            yield types.SimpleNamespace(pixels=pixels, name=str(index))
        raise PhotoError("the film ends here")

    results = VideoStylizer(_Network(), _style(), look=_PLAIN).stylize(read)
    assert len([next(results) for _ in frames]) == 5
    with pytest.raises(PhotoError, match="ends here"):
        next(results)
