"""Masks as programs write them: exact, antialiased, compressed, of every mode."""

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization.region_files import (
    read_region_pair,
    read_regions,
)
from vgg_unpool_jax.errors import UserError

PALETTE = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255]], np.uint8)


def _labels(height=90, width=120):
    """A disk (1) and a band (2) on a ground (0)."""
    rows, columns = np.mgrid[:height, :width] / height
    labels = np.where((rows - 0.4) ** 2 + (columns - 0.5) ** 2 < 0.08, 1, 0)
    return np.where(rows > 0.8, 2, labels).astype(np.uint8)


def _save(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def _voronoi(count, shape=(120, 160)):
    random = np.random.default_rng(0)
    seeds = random.uniform(0, 1, (count, 2)) * shape
    places = np.stack(np.mgrid[: shape[0], : shape[1]], -1)[:, :, None]
    return ((places - seeds) ** 2).sum(-1).argmin(-1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA", "I;16", "1", "I", "F"])
def test_every_mode_keeps_its_labels(mode, tmp_path):
    labels = _labels()
    if mode == "1":
        labels = (labels > 0).astype(np.uint8)
    name, names = "m.png", ("0", "1", "2")
    if mode in ("P", "RGB", "RGBA"):
        image = Image.fromarray(labels).convert("P")
        image.putpalette(PALETTE.ravel().tolist())
        image = image.convert(mode)
        names = ("#000000", "#ff0000", "#ffffff")
    elif mode == "1":
        image, names = Image.fromarray(labels.astype(bool)), ("0", "255")
    elif mode == "L":
        image = Image.fromarray(labels)
    else:
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image, name = Image.fromarray(labels.astype(kind)), "m.tif"
    found = read_regions(_save(tmp_path / name, image))
    assert found.names == names
    np.testing.assert_array_equal(found.labels, labels)


def test_two_hundred_neighbouring_labels_stay_apart(tmp_path):
    labels = _voronoi(200)
    found = read_regions(_save(tmp_path / "m.png", labels.astype(np.uint8)))
    assert found.names == tuple(str(i) for i in range(200))
    np.testing.assert_array_equal(found.labels, labels)


def test_jpeg_masks_have_the_labels_that_were_painted(tmp_path):
    labels = _labels()
    exact = _save(tmp_path / "m.png", PALETTE[labels])
    lossy = _save(tmp_path / "m.jpg", PALETTE[labels], quality=30)
    for paths in ((exact, lossy), (lossy, exact)):
        pair = read_region_pair(*paths)
        assert pair[0].names == pair[1].names == ("#000000", "#ff0000", "#ffffff")
        assert (pair[0].labels == pair[1].labels).mean() > 0.985


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
@pytest.mark.parametrize("column", [128, 131])
def test_lossy_masks_without_rims_have_the_labels_that_were_painted(
    column, suffix, tmp_path
):
    labels = (np.arange(256) < column).astype(int) * np.ones((256, 1), int)
    pixels = np.array([[20, 60, 180], [200, 30, 40]], np.uint8)[labels]
    exact = _save(tmp_path / "m.png", pixels)
    lossy = _save(tmp_path / f"m.{suffix}", pixels, quality=95)
    for paths in ((exact, lossy), (lossy, exact)):
        pair = read_region_pair(*paths)
        assert pair[0].names == pair[1].names == ("#143cb4", "#c81e28")
        assert (pair[0].labels == pair[1].labels).mean() > 0.985


def test_label_numbers_that_a_lossy_format_has_kept_stay_apart(tmp_path):
    labels = np.arange(4, dtype=np.uint8).repeat(16).reshape(2, 32).repeat(32, axis=0)
    found = read_regions(_save(tmp_path / "m.jp2", labels))  # without loss
    assert found.names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize("filter_name", ["BOX", "LANCZOS"])
def test_grey_rims_are_neither_regions_nor_a_grey_region(filter_name, tmp_path):
    labels = _labels(720, 960)
    grey = np.array([0, 255, 100], np.uint8)[labels]
    small = Image.fromarray(grey).resize((120, 90), Image.Resampling[filter_name])
    found = read_regions(_save(tmp_path / "m.png", small))
    assert found.names == ("0", "100", "255")
    nearest = np.asarray(Image.fromarray(labels).resize((120, 90), 0))
    expected = np.array([0, 2, 1])[nearest]
    assert (found.labels == expected).mean() > 0.98
    assert not (found.labels[:60] == 1).any()  # the band's grey around the disk


def test_near_colours_of_two_lossy_masks_are_one_label(tmp_path):
    labels = _labels()
    large = Image.fromarray(PALETTE[_labels(720, 960)])
    small = np.asarray(large.resize((120, 90), Image.Resampling.BOX)).astype(int)
    noise = np.random.default_rng(0).integers(-1, 2, (90, 120, 3))
    first = np.clip(small + noise, 0, 255)
    second = np.clip(np.add(first, (2, 2, 0)), 0, 255)
    one, other = read_region_pair(
        _save(tmp_path / "a.png", first.astype(np.uint8)),
        _save(tmp_path / "b.png", second.astype(np.uint8)),
    )
    assert one.names == other.names and len(one.names) == 3
    assert (one.labels == labels).mean() > 0.98
    assert (other.labels == labels).mean() > 0.98


def test_a_pair_has_the_labels_of_both(tmp_path):
    labels = _labels()
    grey = _save(tmp_path / "a.png", np.where(labels == 1, 255, 0).astype(np.uint8))
    colours = _save(tmp_path / "b.png", PALETTE[labels])
    one, other = read_region_pair(grey, colours)
    assert one.names == other.names == ("#000000", "#ff0000", "#ffffff")
    np.testing.assert_array_equal(one.labels, np.where(labels == 1, 2, 0))
    np.testing.assert_array_equal(other.labels, labels)


def test_what_is_transparent_is_a_region(tmp_path):
    labels = _labels()
    pixels = np.dstack([PALETTE[labels], np.where(labels == 0, 0, 255)])
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3))
    pixels[..., :3] = np.where(labels[..., None] == 0, noise, pixels[..., :3])
    found = read_regions(_save(tmp_path / "m.png", pixels.astype(np.uint8)))
    assert found.names == ("#ff0000", "#ffffff", "transparent")
    np.testing.assert_array_equal(found.labels, np.array([2, 0, 1])[labels])


def test_the_exif_orientation_turns_a_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    labels = _labels()
    found = read_regions(_save(tmp_path / "m.png", labels, exif=exif))
    np.testing.assert_array_equal(found.labels, np.rot90(labels, -1))


def test_a_photo_is_no_mask(tmp_path):
    rows, columns = np.mgrid[:90, :120]
    photo = np.dstack([rows * 2, columns * 2, (rows + columns)]).astype(np.uint8)
    with pytest.raises(UserError, match=r"m\.png is no mask: it has many colours"):
        read_regions(_save(tmp_path / "m.png", photo))


def test_a_folder_of_layers_is_soft(tmp_path):
    sky = np.linspace(0, 255, 30).astype(np.uint8)[:, None].repeat(20, 1)
    _save(tmp_path / "sky.png", sky)
    _save(tmp_path / "ground.png", (255 - sky) // 2)
    (tmp_path / "notes.txt").write_text("of the masks")
    found = read_regions(tmp_path)
    assert found.names == ("ground", "sky", "rest")
    np.testing.assert_allclose(found.coverage[..., 1], sky / 255, atol=1e-6)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name, names",
    [
        ("in00", ("#000000", "#008000", "#800000", "#808000")),
        ("in14", ("#000000", "#ffffff")),
        ("in17", ("#000000", "#ffffff")),
        ("in34", ("#000000", "#ff0000", "#ffffff")),
        ("in58", ("#000000", "#ff0000", "#ffff00")),
        ("in64", ("0", "1")),
    ],
)
def test_real_masks_have_the_regions_that_a_person_sees(name, names, photos_folder):
    folder = photos_folder.parent / "style_pairs"
    if not folder.exists():
        pytest.skip(f"the real masks are not at {folder}")
    pair = read_region_pair(
        folder / "content_segment" / f"{name}.png",
        folder / "style_segment" / f"{name}.png",
    )
    assert pair[0].names == pair[1].names == names
