"""Small photos that can be told apart by their pixels."""

import numpy as np
import pytest
from PIL import Image


def photo_pixels(number: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A photo without two equal pixels; `number` is in the blue channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack(
        [rows * 3, columns * 3, np.full_like(rows, number)], axis=-1
    ).astype(np.uint8)


@pytest.fixture
def make_photo():
    """The function number, height, width -> uint8 (height, width, 3)."""
    return photo_pixels


@pytest.fixture
def make_folder(tmp_path):
    """A function that fills a folder with `count` photos, named in numeric order."""

    def make(count: int, name: str = "photos", **size):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            path = folder / f"photo{number:03d}.png"
            Image.fromarray(photo_pixels(number, **size)).save(path)
        return folder

    return make
