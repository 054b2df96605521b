"""Reinhard's transfer against the paper's numbers and an independent formula."""

import logging

import numpy as np
import pytest
import skimage.data

from vgg_unpool_jax.applications.stylization.color_transfer import (
    lab_from_rgb,
    rgb_from_lab,
    transfer_color,
    transfer_rgb,
)


@pytest.fixture(scope="module")
def photos():
    return skimage.data.astronaut()[50:150, 100:220], skimage.data.coffee()[::4, ::4]


def test_the_space_is_that_of_the_paper():
    rgb = np.array([200.0, 120.0, 40.0])
    r, g, b = rgb / 255
    lms = [
        np.log10(0.3811 * r + 0.5783 * g + 0.0402 * b),
        np.log10(0.1967 * r + 0.7244 * g + 0.0782 * b),
        np.log10(0.0241 * r + 0.1288 * g + 0.8444 * b),
    ]
    wanted = [
        sum(lms) / np.sqrt(3),
        (lms[0] + lms[1] - 2 * lms[2]) / np.sqrt(6),
        (lms[0] - lms[1]) / np.sqrt(2),
    ]
    np.testing.assert_allclose(lab_from_rgb(rgb), wanted, rtol=1e-12)
    # The inverse that the paper prints has four decimals.
    inverse = [
        [4.4679, -3.5873, 0.1193],
        [-1.2186, 2.3809, -0.1624],
        [0.0497, -0.2439, 1.2045],
    ]
    printed = 255 * np.array(inverse) @ (10 ** np.array(lms))
    np.testing.assert_allclose(rgb_from_lab(np.array(wanted)), printed, atol=1.0)
    np.testing.assert_allclose(rgb_from_lab(np.array(wanted)), rgb, rtol=1e-9)


def test_black_is_kept_from_the_logarithm():
    black = np.zeros((1, 3))
    assert np.isfinite(lab_from_rgb(black)).all()
    back = rgb_from_lab(lab_from_rgb(black))
    np.testing.assert_allclose(back, 1.0, atol=0.02)


def test_the_result_has_the_statistics_of_the_style(photos):
    content, style = (np.clip(photo, 40, 220) for photo in photos)
    result = transfer_color(content, style)
    assert result.shape == content.shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 255
    a, b = (lab_from_rgb(x).reshape(-1, 3) for x in (content, style))
    wanted = np.empty_like(a)
    for channel in range(3):
        x, y = a[:, channel], b[:, channel]
        wanted[:, channel] = np.mean(y) + (x - np.mean(x)) / np.std(x) * np.std(y)
    wanted = np.clip(rgb_from_lab(wanted), 0, 255).reshape(content.shape)
    np.testing.assert_allclose(result, wanted, atol=1e-3)
    assert np.abs(result - content).mean() > 10


def test_a_flat_content_takes_the_mean_and_a_flat_style_flattens(photos):
    flat = np.full((8, 8, 3), 77.0)
    mean = lab_from_rgb(photos[1]).reshape(-1, 3).mean(0)
    wanted = np.clip(rgb_from_lab(mean), 0, 255)
    result = transfer_color(flat, photos[1])
    np.testing.assert_allclose(result, np.tile(wanted, (8, 8, 1)), rtol=1e-5)
    np.testing.assert_allclose(transfer_color(photos[0], flat), 77.0, rtol=1e-5)


def test_every_region_takes_the_style_of_its_label(photos, caplog):
    content, style = photos
    ours = np.zeros(content.shape[:2], int)
    ours[:, 60:], ours[:10, :10] = 4, 6
    theirs = np.zeros(style.shape[:2], int)
    theirs[30:] = 4
    with caplog.at_level(logging.WARNING):
        result = transfer_color(content, style, ours, theirs)
    assert "the style has no region 6" in caplog.text
    for label, source in ((0, style[:30]), (4, style[30:]), (6, style)):
        cells = content[ours == label][None]
        wanted = transfer_color(cells, source)[0]
        np.testing.assert_allclose(result[ours == label], wanted, atol=1e-3)


def test_the_control_has_the_style_s_mean_and_covariance():
    generator = np.random.default_rng(6)
    content = 120 + 20 * generator.standard_normal((60, 60, 3))
    mix = np.array([[1, 0.4, 0], [0, 0.6, 0.2], [0.3, 0, 0.8]])
    style = 100 + 18 * generator.standard_normal((50, 70, 3)) @ mix
    result = transfer_rgb(content, style)
    ours, theirs = (x.reshape(-1, 3) for x in (result, style))
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(ours.T), np.cov(theirs.T), atol=3)
    labels = np.zeros((60, 60), int)
    labels[:, 30:] = 1
    style_labels = np.zeros((50, 70), int)
    style_labels[:25] = 1
    style[:25] += 60
    result = transfer_rgb(content, style, labels, style_labels)
    assert result[:, :30].mean() == pytest.approx(style[25:].mean(), abs=0.5)
    assert result[:, 30:].mean() == pytest.approx(style[:25].mean(), abs=1.5)
