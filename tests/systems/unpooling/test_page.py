"""The page of pictures, with pairs that make known errors and with a trained one."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_command
from tests.systems.unpooling.export.conftest import make_pair
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.evaluation.pictures import picture_grid, save_jpeg
from vgg_unpool_jax.systems.unpooling.page import choose_photos, write_release_page

SIZE = 64


class Brighter:
    """A pair whose every output is brighter by a few grey levels."""

    def __init__(self, block, step):
        self.block, self._step = block, step

    def reconstruct(self, images):
        assert images.shape == (1, SIZE, SIZE, 3)
        return images + self._step

    def describe(self):
        return f"brighter by {self._step} <& more>"


def _save(folder, name, shade, shape=(SIZE + 6, SIZE, 3)):
    Image.fromarray(np.full(shape, shade, np.uint8)).save(folder / name)


@pytest.fixture
def folder(tmp_path):
    """Eleven photos with 10, 20, ... 110 grey levels."""
    path = tmp_path / "photos"
    path.mkdir()
    for number in range(11):
        _save(path, f"{number:02}.png", 10 + 10 * number)
    return path


def _open(folder):
    return make_source(f"folder:{folder}")


# --- which photos ---------------------------------------------------------------------


def test_photos_are_spaced_evenly_by_name(folder):
    chosen = choose_photos(_open(folder), 3, SIZE)
    assert list(chosen) == ["00.png", "05.png", "10.png"]
    assert [photo[0, 0, 0] for photo in chosen.values()] == [10, 60, 110]
    assert {photo.shape for photo in chosen.values()} == {(SIZE, SIZE, 3)}
    assert len(choose_photos(_open(folder), 11, SIZE)) == 11


def test_photos_are_in_the_order_of_their_names_whatever_that_of_the_source():
    class Backwards:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return np.full((SIZE, SIZE, 3), index, np.uint8)

        def name(self, index):
            return f"{9 - index}.png"

    chosen = choose_photos(Backwards(), 3, SIZE)
    assert list(chosen) == ["5.png", "7.png", "9.png"]
    assert [photo[0, 0, 0] for photo in chosen.values()] == [4, 2, 0]


def test_the_next_photo_stands_in_for_one_that_cannot_be_shown(folder):
    (folder / "05.png").write_bytes(b"broken")
    _save(folder, "06.png", 1, (SIZE - 1, SIZE, 3))
    _save(folder, "10.png", 1, (SIZE, SIZE - 1, 3))  # then from the beginning
    assert list(choose_photos(_open(folder), 3, SIZE)) == ["00.png", "07.png", "01.png"]


# --- pictures and page ----------------------------------------------------------------


def _shades(path, rows, columns):
    """Mean grey level of every tile of a picture with titles, (rows, columns)."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"), float)
    first = 20 + 2 * 4  # behind the titles
    step = SIZE + 4
    assert pixels.shape == (first + rows * step, first + columns * step)
    places = [first + SIZE // 2 + i * step for i in range(max(rows, columns))]
    return pixels[np.ix_(places[:rows], places[:columns])]


def test_pictures_show_input_output_and_error(folder, tmp_path):
    output = tmp_path / "new" / "page"
    pairs = [Brighter(4, 3.0), Brighter(1, 5.0)]
    files = write_release_page(
        pairs, _open(folder), output, photos=3, image_size=SIZE, gain=8.0
    )
    names = ["block1.jpg", "block4.jpg", "all.jpg", "index.html"]
    assert [file.name for file in files] == names
    # Nothing is left aside.
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    for name, step in (("block1.jpg", 5), ("block4.jpg", 3)):
        wanted = [[10, 60, 110], [10 + step, 60 + step, 110 + step], [8 * step] * 3]
        found = _shades(output / name, rows=3, columns=3)
        np.testing.assert_allclose(found, wanted, atol=2)
    wanted = [[x, x + 5, 40, x + 3, 24] for x in (10, 60, 110)]
    found = _shades(output / "all.jpg", rows=3, columns=5)
    np.testing.assert_allclose(found, wanted, atol=2)


def test_the_page_tells_errors_by_photo_and_pair_and_shows_all_pictures(
    folder, tmp_path
):
    _save(folder, "a&b<c>.png", 20)
    pairs = [Brighter(1, 5.0), Brighter(2, 0.0)]
    *pictures, index = write_release_page(
        pairs, _open(folder), tmp_path / "page", photos=2, image_size=SIZE
    )
    page = index.read_text(encoding="utf-8")
    psnr = f"{20 * np.log10(255 / 5):.2f}"
    cells = f"<td>5.000</td><td>{psnr}</td><td>0.000</td><td>inf</td>"
    assert f"<tr><td>1 00.png</td>{cells}</tr>" in page
    assert f"<tr><td>2 a&amp;b&lt;c&gt;.png</td>{cells}</tr>" in page
    assert "brighter by 5.0 &lt;&amp; more&gt;" in page
    assert "64 × 64 pixels" in page and str(folder) in page
    shown = re.findall(r'<img src="([^"]+)"', page)
    assert sorted(shown) == sorted(path.name for path in pictures)
    assert "$" not in page


# --- what pictures gained for it ------------------------------------------------------


def test_titles_stand_beside_their_rows():
    columns = {"a": np.full((2, 30, 40, 3), 128), "b": np.full((2, 30, 40, 3), 128)}
    plain = picture_grid(columns)
    titled = picture_grid(columns, row_labels=("first", "second"))
    np.testing.assert_array_equal(titled[:, 24:], plain)
    gutter = titled[:, 4:24].min(axis=(1, 2))
    assert (gutter[:28] == 255).all()  # nothing beside the titles of columns
    assert gutter[28:58].min() < 128 and gutter[62:92].min() < 128
    with pytest.raises(ValueError, match="row_labels has 1 titles; expected 2"):
        picture_grid(columns, row_labels=("first",))


def test_a_jpeg_stays_below_its_limit_and_keeps_colour(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (300, 300, 3), np.uint8)
    save_jpeg(tmp_path / "best.jpg", noise)
    size = (tmp_path / "best.jpg").stat().st_size
    save_jpeg(tmp_path / "small.jpg", noise, max_bytes=size - 1)
    assert 0 < (tmp_path / "small.jpg").stat().st_size < size
    save_jpeg(tmp_path / "least.jpg", noise, max_bytes=10)
    # Single pixels of red and cyan, which JPEG usually mixes.
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 1:] = 200
    save_jpeg(tmp_path / "stripes.jpg", stripes)
    with Image.open(tmp_path / "stripes.jpg") as picture:
        assert np.abs(np.asarray(picture, int) - stripes).mean() < 6
    with pytest.raises(ValueError, match=r"\(height, width, 3\)"):
        save_jpeg(tmp_path / "grey.jpg", stripes[..., 0])
    assert not (tmp_path / "grey.jpg").exists()


# --- the command ----------------------------------------------------------------------


def test_the_command_shows_a_released_pair(folder, tmp_path):
    make_pair(tmp_path, 1)
    [file] = tmp_path.glob("*.safetensors")

    def run(pairs):
        return run_command(
            *("pairs", "page", pairs),
            f"--source=folder:{folder}",
            f"--output={tmp_path / 'page'}",
            *("--photos=2", "--image_size=32"),
        )

    done = run(file)
    assert done.returncode == 0, done.stderr
    names = ("block1.jpg", "all.jpg", "index.html")
    assert done.stdout.split() == [str(tmp_path / "page" / name) for name in names]
    assert "block 1 after 7 steps" in (tmp_path / "page" / "index.html").read_text()
    done = run(tmp_path / "nothing")
    assert done.returncode == 1
    assert "error: " in done.stderr and "nothing" in done.stderr
    assert "Traceback" not in done.stderr
