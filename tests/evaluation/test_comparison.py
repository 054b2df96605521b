"""Pairs of picture files: by name, refusals, values, means."""

import math

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.evaluation.comparison import (
    compare,
    list_pairs,
    summaries,
    too_small,
)


@pytest.fixture
def folders(tmp_path):
    """Two folders with one picture below a subfolder and other extensions."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)
    for name in ("a/x.png", "a/sub/y.png", "b/x.bmp", "b/sub/y.PNG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def test_pictures_are_paired_by_name(folders):
    a, b = folders / "a", folders / "b"
    found = [(p.name, p.a, p.b) for p in list_pairs(a, b)]
    x = ("x", a / "x.png", b / "x.bmp")
    assert sorted(found) == [("sub/y", a / "sub/y.png", b / "sub/y.PNG"), x]
    for one, other in ((a / "x.png", b), (a, b / "x.bmp")):
        assert [(p.name, p.a, p.b) for p in list_pairs(one, other)] == [x]
    # Two files need no common name.
    (pair,) = list_pairs(a / "x.png", b / "sub/y.PNG")
    assert pair.b == b / "sub/y.PNG"
    first, second = pair.read()
    np.testing.assert_array_equal(first, second)


def test_what_is_no_pair_is_named(folders):
    a, b = folders / "a", folders / "b"
    with pytest.raises(SourceError, match=r"no photo or folder .*nowhere"):
        list_pairs(a, folders / "nowhere")
    (a / "x.png").rename(a / "z.png")
    with pytest.raises(SourceError, match=r"1 of 2 pictures have .* in .*b: .*z\.png"):
        list_pairs(a, b)
    with pytest.raises(SourceError, match=r"1 of 1 pictures have .* in .*b: .*z\.png"):
        list_pairs(a / "z.png", b)
    Image.new("RGB", (12, 14)).save(a / "z.bmp")
    with pytest.raises(SourceError, match=r"both z\.bmp and z\.png"):
        list_pairs(a, b)
    (pair,) = list_pairs(a / "z.bmp", a / "z.png")
    with pytest.raises(PhotoError, match="same size, got 12×14 and 14×12 pixels"):
        pair.read()


def test_values_and_means():
    a = np.full((12, 14, 3), 100, np.uint8)
    score = compare(a, a + np.uint8(51))
    assert list(score) == ["l1", "l2", "psnr", "ssim"]
    assert score["l1"] == pytest.approx(51)
    assert score["psnr"] == pytest.approx(20 * math.log10(5), abs=1e-4)
    assert compare(a, a)["psnr"] == math.inf
    (sentence,) = too_small([(300, 300), (12, 400)])
    assert sentence.startswith("MS-SSIM is left out at 12 x 300 pixels")
    means = summaries(
        [{"l1": float(k), "ms_ssim": 0.5} for k in range(8)] + [{"l1": 8}]
    )
    assert means["l1"].mean == 4 and means["l1"].photos == 9
    assert means["ms_ssim"].photos == 8
