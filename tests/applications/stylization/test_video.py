"""Moments averaged over time: beside sums written out, and cuts of the film."""

import math

import numpy as np

from vgg_unpool_jax.applications.stylization.video import SteadyMoments
from vgg_unpool_jax.ops.moments import Moments


def _moments(frames, regions=2, channels=3, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    roots = random.normal(size=(frames, regions, channels, 2 * channels))
    return Moments(
        random.uniform(5, 9, (frames, regions)).astype(np.float32),
        (0.01 * random.normal(size=(frames, regions, channels)) + shift).astype(
            np.float32
        ),
        (roots @ np.swapaxes(roots, 2, 3)).astype(np.float32),
    )


def _weighted(arrays, time_constant):
    """The average in the last frame, from its definition."""
    ages = np.arange(len(arrays))[::-1]
    weights = np.exp(-ages / time_constant)
    return np.tensordot(weights / weights.sum(), arrays.astype(np.float64), 1)


def _joined(*parts):
    return Moments(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def test_old_frames_count_by_their_age():
    moments = _moments(6)
    steady = SteadyMoments(2.5)(3, moments)
    for last in range(6):
        for name in ("mean", "covariance"):
            wanted = _weighted(getattr(moments, name)[: last + 1], 2.5)
            np.testing.assert_allclose(
                getattr(steady, name)[last], wanted, rtol=1e-5, atol=1e-6
            )
    np.testing.assert_array_equal(steady.count, moments.count)
    assert {array.dtype for array in steady} == {np.dtype(np.float32)}


def test_frames_one_by_one_give_the_bits_of_a_batch():
    coarse, fine = _moments(5), _moments(5, channels=2, seed=1)
    batch, single = SteadyMoments(3), SteadyMoments(3)
    whole = [batch(2, coarse), batch(1, fine)]
    for index in range(5):
        for block, moments, wanted in zip((2, 1), (coarse, fine), whole, strict=True):
            one = Moments(*(array[index : index + 1] for array in moments))
            for found, array in zip(single(block, one), wanted, strict=True):
                np.testing.assert_array_equal(found[0], array[index])
    assert batch.frames == single.frames == 5


def test_a_cut_begins_anew_at_all_levels():
    before, after = _moments(4), _moments(3, seed=1, shift=9.0)
    fine = _moments(7, channels=2, seed=2)
    steady = SteadyMoments(8)
    coarse_result = steady(2, _joined(before, after))
    fine_result = steady(1, fine)
    assert steady.cuts == [4] and steady.frames == 7
    np.testing.assert_array_equal(coarse_result.mean[4], after.mean[0])
    np.testing.assert_array_equal(fine_result.covariance[4], fine.covariance[4])
    np.testing.assert_allclose(
        coarse_result.mean[6], _weighted(after.mean, 8), rtol=1e-5
    )
    assert SteadyMoments(8, cut=math.inf)(2, _joined(before, after)).mean[4].max() < 8


def test_the_jump_is_the_step_of_the_mean_over_the_deviation():
    weight, covariance = np.ones((2, 1)), np.tile(np.eye(4), (2, 1, 1, 1))
    mean = np.zeros((2, 1, 4))
    mean[1] = 0.3  # |step|² = 4 · 0.09, tr cov = 4
    steady = SteadyMoments(1, cut=0.31)
    steady(1, Moments(weight, mean, covariance))
    np.testing.assert_allclose(steady.jumps, [0, 0.3])
    assert not steady.cuts
    steady = SteadyMoments(1, cut=0.29)
    steady(1, Moments(weight, mean, covariance))
    assert steady.cuts == [1]


def test_a_slow_drift_is_no_cut():
    drift = np.linspace(0, 20, 200)[:, None, None]
    moments = _moments(200)
    steady = SteadyMoments(4)
    steady(1, moments._replace(mean=moments.mean + drift))
    assert not steady.cuts


def test_a_region_counts_where_it_is():
    moments = _moments(3)
    for array in moments:
        array[1, 0] = 0  # the first region is hidden in the second frame
    steady = SteadyMoments(2)(1, moments)
    np.testing.assert_allclose(steady.mean[1, 0], moments.mean[0, 0], rtol=1e-6)
    young, old = 1.0, math.exp(-2 / 2)
    wanted = (young * moments.mean[2, 0] + old * moments.mean[0, 0]) / (young + old)
    np.testing.assert_allclose(steady.mean[2, 0], wanted, rtol=1e-5)
