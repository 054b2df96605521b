"""Bars and maps: where things stand, in which colour, and what is odd."""

import os
import subprocess
import sys

import numpy as np
import pytest

from vgg_unpool_jax.systems.vae.latent_pictures import (
    kl_plot,
    latent_map,
)

NAMES = {"title": "a map", "axis_names": ("x", "y")}


def colours(picture):
    return {tuple(int(c) for c in colour) for colour in picture.reshape(-1, 3)}


def hex_colour(text):
    return tuple(bytes.fromhex(text))


def bar_heights(picture):
    blue = np.all(picture == hex_colour("1f77b4"), axis=-1)
    return blue.sum(axis=0)


@pytest.mark.parametrize("dimensions", [3, 512])
def test_bars_fall_from_left_to_right_in_proportion_to_the_divergence(dimensions):
    kl = np.random.default_rng(0).permutation(np.linspace(0.5, 4, dimensions))
    picture = kl_plot(kl)
    assert picture.shape == (400, 800, 3) and picture.dtype == np.uint8
    heights = bar_heights(picture)
    heights = heights[heights > 0]
    assert np.all(np.diff(heights[2:-2]) <= 0)
    np.testing.assert_allclose(heights.max() / heights.min(), 8, rtol=0.1)


def test_odd_divergences_are_drawn_or_refused():
    assert bar_heights(kl_plot(np.zeros(5))).max() == 0
    assert bar_heights(kl_plot(np.array([2.0]))).max() > 200
    assert np.any(kl_plot([1.0], title="a $ b $") != kl_plot([1.0], title="another"))
    for bad in (np.zeros((2, 2)), np.zeros(0), np.array([1, np.nan])):
        with pytest.raises(ValueError, match="kl has shape"):
            kl_plot(bad)


@pytest.mark.parametrize("labels", [None, [None] * 5])
def test_a_map_without_labels_has_plain_dots(labels):
    points = np.array([[0, 0], [1, 1], [2, 0], [3, 1], [4, 0]])
    picture = latent_map(points, labels, **NAMES)
    assert picture.shape == (600, 800, 3) and picture.dtype == np.uint8
    # One hue: blueish dots, the rest is grey.
    red, _, blue = np.moveaxis(picture.astype(int), -1, 0)
    coloured = np.abs(red - blue) > 40
    assert coloured.sum() > 100
    assert np.all(blue[coloured] > red[coloured])


def test_each_class_has_its_colour_and_a_legend():
    points = np.repeat([[0.0, 0.0], [10.0, 0.0]], 3, axis=0)
    picture = latent_map(points, ["b", "b", "b", "a", "a", None], **NAMES)
    legend = {hex_colour(c) for c in ("1f77b4", "ff7f0e", "b0b0b0")}
    assert legend <= colours(picture)
    # "a" comes first, though it was not the first seen: blue dots to the right.
    dots = picture.astype(int)
    columns = np.arange(dots.shape[1])
    is_blue = (dots[..., 2] - dots[..., 0] > 100).any(axis=0)
    is_orange = (dots[..., 0] - dots[..., 2] > 100).any(axis=0)
    assert columns[is_orange].min() < columns[is_blue].min() - 200


def test_class_names_may_hold_anything():
    names = ["$5", "_x", "b_{", "寿司", "\\alpha", "a" * 200, " ", "%s"]
    points = np.random.default_rng(0).normal(size=(8, 2))
    names_of_axes = {"title": "$\\frac{", "axis_names": ("$_", "_$")}
    picture = latent_map(points, names, **names_of_axes)
    assert hex_colour("8c564b") in colours(picture)
    # All eight stand in the legend, also those that begin with an underscore.
    marks = [hex_colour(c) for c in ("1f77b4", "ff7f0e", "2ca02c", "d62728")]
    marks += [hex_colour(c) for c in ("9467bd", "8c564b", "e377c2", "bcbd22")]
    assert set(marks) <= colours(picture)


def test_the_program_around_keeps_its_backend_figures_and_log_level():
    import logging

    import matplotlib
    from matplotlib import _pylab_helpers

    logger = logging.getLogger("matplotlib")
    before = matplotlib.rcParams.copy(), logger.level
    latent_map(np.zeros((2, 2)), None, **NAMES)
    with pytest.raises(ValueError, match="kl has shape"):
        kl_plot(np.zeros(0))
    assert (matplotlib.rcParams.copy(), logger.level) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


def test_a_home_that_cannot_be_written_to_causes_no_complaint():
    code = (
        "from vgg_unpool_jax.systems.vae.latent_pictures import kl_plot; "
        "print(kl_plot([2.0, 1.0]).shape)"
    )
    kept = {k: v for k, v in os.environ.items() if k != "MPLCONFIGDIR"}
    nowhere = {
        name: os.devnull + "/nowhere"
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=kept | nowhere,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(400, 800, 3)\n", "")
