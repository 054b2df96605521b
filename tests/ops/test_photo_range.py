"""Photos on another scale than [0, 255] are told where they come in."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vgg_unpool_jax
from tests.applications.stylization.test_files import _pair
from vgg_unpool_jax.applications.editing.chain import reencode
from vgg_unpool_jax.applications.editing.photo_pairs import interpolate
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.color_transfer import transfer_color
from vgg_unpool_jax.applications.stylization.metrics import edge_ssim
from vgg_unpool_jax.applications.stylization.smoothing import smooth
from vgg_unpool_jax.evaluation.metrics import compute_photo_metrics, photo_psnr
from vgg_unpool_jax.ops.photo_range import PhotoRangeWarning, check_photo_range

_SHARES = np.random.default_rng(0).random((16, 16, 3))


@pytest.mark.parametrize(
    "photo",
    [
        np.uint8([0, 1]),
        np.int64([0, 255]),
        255 * _SHARES,
        300 * _SHARES - 40,  # as transforms overshoot
        np.float32([0, 1, 1]),  # a nearly black photo that was converted
        jnp.asarray(255 * _SHARES, jnp.bfloat16),
        [[0, 255]],
        np.zeros((0, 4, 3)),
    ],
)
def test_photos_in_the_range_pass(photo):
    check_photo_range("photo", photo)


@pytest.mark.parametrize(
    ("photo", "raised", "said"),
    [
        (_SHARES, PhotoRangeWarning, r"photos has float64 values from .*by 255"),
        (jnp.asarray(_SHARES, jnp.bfloat16), PhotoRangeWarning, "by 255"),
        (2 * _SHARES - 1, PhotoRangeWarning, r"expected RGB in \[0, 255\]"),
        (65535 * _SHARES, PhotoRangeWarning, r"expected RGB in \[0, 255\]"),
        (np.uint16([0, 65535]), ValueError, "from 0 to 65535.*16-bit photos by 257"),
        (np.int16([-1, 3]), ValueError, "from -1 to 3"),
        (np.where(_SHARES > 0.5, np.nan, 90.0), ValueError, "NaN or infinite"),
        (jnp.asarray([1.0, jnp.inf]), ValueError, "NaN or infinite"),
        (_SHARES > 0.5, ValueError, "of the type bool"),
    ],
)
def test_other_ranges_are_named_and_can_be_let_through(photo, raised, said):
    with pytest.raises(raised, match=said):
        check_photo_range("photos", photo)
    with vgg_unpool_jax.any_range():
        check_photo_range("photos", photo)


@pytest.fixture(scope="module")
def borders():
    """Functions of one photo, by name."""
    pair = _pair(1)
    stylizer = Stylizer([pair])
    style = stylizer.measure_style(255 * _SHARES)
    right = 255 * _SHARES
    return {
        "encode": lambda photo: pair.encode(photo[None]),
        "reconstruct": lambda photo: pair.reconstruct(photo[None]),
        "reconstruct_photo": pair.reconstruct_photo,
        "stylize": lambda photo: stylizer.stylize(photo, style),
        "measure_style": stylizer.measure_style,
        "guided": lambda photo: smooth("guided", photo, right),
        "matting": lambda photo: smooth("matting", photo, right),
        "reencode": lambda photo: reencode(pair, photo, 1),
        "interpolate": lambda photo: interpolate(pair, right, photo, 2),
        "transfer_color": lambda photo: transfer_color(right, photo),
        "edge_ssim": lambda photo: edge_ssim(right, photo),
        "psnr": lambda photo: photo_psnr(right[None], photo[None]),
        "metrics": lambda photo: compute_photo_metrics(right[None], photo[None]),
    }


@pytest.mark.parametrize(
    "name",
    (
        "encode reconstruct reconstruct_photo stylize measure_style guided matting "
        "reencode interpolate transfer_color edge_ssim psnr metrics"
    ).split(),
)
def test_every_border_looks(borders, name):
    with pytest.raises(PhotoRangeWarning, match=r"\[0, 255\]"):
        borders[name](_SHARES)
    with pytest.raises(ValueError, match="16-bit"):
        borders[name]((65535 * _SHARES).astype(np.uint16))
    with pytest.raises(ValueError, match="NaN"):
        borders[name](np.full_like(_SHARES, np.nan))


def test_tracers_and_what_a_cascade_hands_on_are_not_looked_at(borders):
    found = jax.jit(borders["encode"])(jnp.asarray(_SHARES))[0]
    assert np.isfinite(found).all()
    borders["stylize"](np.float32([[[3.0, 2.0, 1.0]]] * 16))


def test_the_warning_is_of_the_callers_line(borders):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        borders["encode"](_SHARES)
    assert [one.filename for one in caught] == [__file__]


@pytest.mark.parametrize("alpha", [np.nan, np.inf, -1.0])
def test_a_strength_that_is_no_number_is_refused(alpha):
    stylizer = Stylizer([_pair(1)])
    style = stylizer.measure_style(255 * _SHARES)
    with pytest.raises(ValueError, match="alpha must be from 0 on"):
        stylizer.stylize(255 * _SHARES, style, alpha=alpha)
    with pytest.raises(ValueError, match="strengths finite"):
        stylizer.stylize(255 * _SHARES, style, strengths={1: np.nan})
