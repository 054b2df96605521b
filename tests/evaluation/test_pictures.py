"""Grids, error images and PNG files."""

import os

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data.formats import FORMATS
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.pictures import (
    PHOTO_SUFFIXES,
    error_image,
    picture_grid,
    save_photo,
    save_png,
    side_by_side,
    titled_sheet,
)


def flat(*colours, size=(6, 8)):
    images = np.empty((len(colours), *size, 3), np.float32)
    images[:] = np.array(colours, np.float32)[:, None, None, None]
    return images


def test_every_picture_of_a_grid_stands_in_its_row_and_column():
    columns = {"a": flat(10, 20), "b": flat(30, 40), "c": flat(50, 60)}
    grid = picture_grid(columns, padding=2, labels=False)
    assert grid.dtype == np.uint8
    assert grid.shape == (2 + 6 + 2 + 6 + 2, 2 + 3 * (8 + 2), 3)
    for row in range(2):
        for column, name in enumerate("abc"):
            top, left = 2 + row * 8, 2 + column * 10
            part = grid[top : top + 6, left : left + 8]
            assert np.all(part == columns[name][row, 0, 0, 0])
            grid[top : top + 6, left : left + 8] = 255
    assert np.all(grid == 255)  # nothing but white is left


def test_titles_stand_above_their_columns_and_leave_the_pictures_alone():
    columns = {"input": flat(10, size=(6, 60)), " ": flat(20, size=(6, 60))}
    plain = picture_grid(columns, padding=2, labels=False)
    grid = picture_grid(columns, padding=2)
    height = grid.shape[0] - plain.shape[0]
    assert height > 10
    np.testing.assert_array_equal(grid[height:], plain)
    assert grid[:height, :62].min() < 80  # dark ink over the first column
    assert np.all(grid[:height, 62:] == 255)  # the second title is a space


def test_floats_are_clipped_and_rounded_and_bytes_are_kept():
    images = np.array([[[[-9.0, 0.4, 0.6], [254.6, 255.0, 900.0]]]])
    grid = picture_grid({"a": images}, padding=0, labels=False)
    assert grid.tolist() == [[[0, 0, 1], [255, 255, 255]]]
    bytes_ = np.array([[[[1, 2, 3]]]], np.uint8)
    grid = picture_grid({"a": bytes_}, padding=0, labels=False)
    assert grid.tolist() == [[[1, 2, 3]]]


def test_the_error_image_is_the_amplified_absolute_difference():
    targets = np.array([[[100, 100, 100]]], np.uint8)
    predictions = np.array([[[101, 97, 200]]], np.uint8)  # uint8 must not wrap round
    error = error_image(predictions, targets)
    assert error.dtype == np.float32
    assert error.tolist() == [[[8, 24, 255]]]
    assert error_image(predictions, targets, gain=1).tolist() == [[[1, 3, 100]]]
    with pytest.raises(ValueError, match="expected equal shapes"):
        error_image(predictions, targets[..., :1])


def test_side_by_side_takes_different_widths():
    row = side_by_side(
        [flat(10)[0], flat(20, size=(6, 3))[0].astype(np.uint8)], padding=1
    )
    assert row.shape == (6, 8 + 1 + 3, 3)
    assert row[0, :, 0].tolist() == [10] * 8 + [255] + [20] * 3


def test_a_png_reads_back_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "folder" / "picture.png"
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    save_png(path, 255 - image)
    save_png(path, image)
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        np.testing.assert_array_equal(np.asarray(opened), image)
    assert os.listdir(path.parent) == ["picture.png"]


@pytest.mark.parametrize("suffix", PHOTO_SUFFIXES)
def test_a_photo_is_written_in_the_format_of_its_name(suffix, tmp_path):
    across = np.linspace(0, 255, 64)
    image = np.stack(np.broadcast_arrays(across, across[:48, None], 90.0), axis=-1)
    path = tmp_path / f"photo{suffix.upper()}"
    save_photo(path, image)
    with Image.open(path) as opened:
        assert opened.format == FORMATS[suffix]
        error = np.abs(np.asarray(opened.convert("RGB")) - np.rint(image)).max()
    assert error == 0 if suffix in (".png", ".tif", ".tiff") else error < 16


def test_other_names_and_sizes_of_photos_are_refused(tmp_path):
    assert {".jpg", ".png", ".webp", ".tif", ".tiff"} < set(PHOTO_SUFFIXES)
    with pytest.raises(
        ConfigError, match=r"a\.gif cannot be written: .*\.png, .*\.tif"
    ):
        save_photo(tmp_path / "a.gif", flat(9)[0])
    with pytest.raises(
        ConfigError, match=r"hold 16384×1 pixels: WEBP has at most 16383"
    ):
        save_photo(tmp_path / "a.webp", np.zeros((1, 16384, 3)))
    assert not list(tmp_path.iterdir())


def test_a_titled_sheet_is_about_square_and_in_order():
    pictures = {str(i): np.full((30, 40, 3), 10 * i) for i in range(1, 6)}
    sheet = titled_sheet(pictures)
    assert sheet.shape == (2 * (30 + 20 + 4), 3 * 40 + 4 * 4, 3)
    found = [
        sheet[4 + 54 * row + 20 :, 4 + 44 * column :][:30, :40]
        for row in range(2)
        for column in range(3)
    ]
    for number, cell in enumerate(found, start=1):
        assert (cell == (10 * number if number < 6 else 255)).all()
    assert (sheet[4:24, 4:44] < 128).any()  # the name
