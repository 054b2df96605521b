"""Curves of codecs beside those of Pillow."""

import dataclasses

import numpy as np
import pytest

from configs.codec import faces, photos
from vgg_unpool_jax.systems.codec import curves, equal_size
from vgg_unpool_jax.systems.codec.rate_distortion import (
    Method,
    Point,
    bd_rate,
    measure,
    pillow_methods,
    trained_method,
)


def _curve(factor=1.0):
    return [
        Point(q, factor * rate, factor * rate, psnr, {}, 1.0, 1.0)
        for q, (rate, psnr) in enumerate(((0.2, 25.0), (0.5, 29.0), (1.1, 34.0)))
    ]


def test_bd_rate_of_a_constant_factor_is_that_factor():
    assert bd_rate(_curve(0.8), _curve()) == pytest.approx(-20.0)
    assert bd_rate(_curve(), _curve(0.8)) == pytest.approx(25.0)
    # A metric of which less is better.
    lpips = [
        [dataclasses.replace(p, metrics={"lpips": 1 / p.psnr}) for p in _curve(factor)]
        for factor in (0.8, 1.0)
    ]
    assert bd_rate(*lpips, metric="lpips") == pytest.approx(-20.0)
    far = [dataclasses.replace(p, psnr=p.psnr + 20) for p in _curve()]
    assert bd_rate(far, _curve()) is None


@pytest.mark.parametrize(
    "codec", [pytest.param(faces, marks=pytest.mark.extended), photos], indirect=True
)
def test_all_methods_are_measured_on_files(codec, photo, tmp_path):
    large = np.tile(photo, (2, 1, 1))
    measured = {}
    for method in [trained_method(codec), *pillow_methods()]:
        few = dataclasses.replace(method, settings=method.settings[::6] or (1,))
        brightness = {"brightness": lambda a, _: float(a.mean())}
        measured[method.name] = measure(few, [large], brightness)
    for name, points in measured.items():
        assert all(0 < p.payload_bits_per_pixel < p.bits_per_pixel for p in points)
        if name != codec.name:
            assert points[0].bits_per_pixel < points[-1].bits_per_pixel
            assert points[0].psnr < points[-1].psnr
        assert points[0].metrics["brightness"] == pytest.approx(large.mean(), abs=9)
    text = curves.table(measured)
    assert all(f"| {name} |" in text for name in measured)
    sizes = []
    for published in (False, True):
        curves.plot(measured, tmp_path / "plot.png", published=published)
        sizes.append((tmp_path / "plot.png").stat().st_size)
    assert sizes[1] > sizes[0] + 1000


def test_pictures_have_files_of_the_same_size(photo):
    sizes = (40, 70, 90, 200, 500)
    method = Method(
        "bytes",
        (1,),
        lambda photo, setting: bytes(sizes[setting]),
        lambda content: np.full((8, 8, 3), len(content) % 256, np.uint8),
        range(len(sizes)),
    )
    for wanted, expected in ((10, 40), (40, 40), (89, 70), (200, 200), (999, 500)):
        setting, content = equal_size.compress_to(method, photo, wanted)
        assert len(content) == expected == sizes[setting]
    jpeg = [method for method in pillow_methods() if method.name.startswith("JPEG 4")]
    page = equal_size.page(jpeg, [np.tile(photo, (3, 2, 1)), photo], 1.0)
    # The photo and two codecs in each row, enlarged to at least 128 pixels.
    assert page.shape[0] > 2 * 129 and page.shape[1] > 3 * 140
    assert page.dtype == np.uint8 and len(np.unique(page)) > 100
