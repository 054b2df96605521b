"""Tables of colours: fit, files and use."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.applications.stylization.cube_files import read_cube
from vgg_unpool_jax.applications.stylization.lut import (
    SIZE,
    apply_lut,
    fit_lut,
    write_lut,
)
from vgg_unpool_jax.errors import UserError


def _photo(seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (60, 80, 3)).astype(np.float32)


def _warmer(photo):
    return np.clip(0.8 * photo + (30, 10, -5), 0, 255)


def test_the_table_has_learned_the_change():
    table = fit_lut(_photo(), _warmer(_photo()))
    assert table.shape == (SIZE, SIZE, SIZE, 3)
    other = _photo(1)
    error = np.abs(apply_lut(table, other) - _warmer(other))
    assert error.mean() < 1 and np.quantile(error, 0.99) < 6


def test_colours_that_the_photo_lacks_go_on_evenly():
    photo = np.clip(_photo() / 4 + 90, 0, 255)
    table = fit_lut(photo, photo + 20)
    unseen = np.full((1, 1, 3), (180.0, 60.0, 120.0))
    np.testing.assert_allclose(apply_lut(table, unseen), unseen + 20, atol=15)


def test_a_file_comes_back_and_other_programs_read_it_alike(tmp_path):
    table = fit_lut(_photo(), _warmer(_photo())[..., ::-1])
    path = tmp_path / "look.cube"
    write_lut(path, table, 'a "look"')
    np.testing.assert_allclose(read_cube(path), table, atol=1e-3)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["TITLE \"a 'look'\"", "LUT_3D_SIZE 33"]
    # The second row is that of a little red.
    row = np.array(lines[3].split(), float) * 255
    np.testing.assert_allclose(row, table[1, 0, 0], atol=1e-3)
    photo = _photo(2).astype(np.uint8)
    values = np.array([line.split() for line in lines[2:]], float).ravel().tolist()
    pillow = Image.fromarray(photo).filter(ImageFilter.Color3DLUT(SIZE, values))
    assert np.abs(np.asarray(pillow) - apply_lut(table, photo)).max() < 2


def test_other_names_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"ends in \.cube"):
        write_lut(tmp_path / "look.txt", np.zeros((2, 2, 2, 3)), "look")
