"""Style transfer from files to files, by the library and by the command."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs.unpooling.base import make_config
from tests.experiments.conftest import run_command
from vgg_unpool_jax.applications.stylization.files import (
    FileStylizer,
    StyleFile,
    list_content_files,
    load_stylizer,
)
from vgg_unpool_jax.applications.stylization.style_statistics import read_style
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.pair import Pair


def _pair(block):
    """A pair that nobody has trained."""
    config = make_config(block, "runlocal")
    config.convolution = "xla"
    weights = random_vgg19_weights(0, block=block)
    _, decoder = make_pair_models(config, weights.preprocessing)
    side = 2 ** (block - 1)
    features = np.zeros((1, 1, 1, (64, 128)[block - 1]), np.float32)
    switches = [np.zeros((1, side // 2, side // 2, 64), np.uint8)] * (block - 1)
    variables = decoder.init(jax.random.key(block), features, switches)
    return Pair(config, weights, variables, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two decoders, photos of two sizes with masks, and a style with one."""
    folder = tmp_path_factory.mktemp("stylizing")
    for block in (1, 2):
        _pair(block).export(folder / f"block{block}.safetensors")
    random = np.random.default_rng(0)
    sizes = {"photos/a.png": (40, 56), "photos/b.jpg": (56, 40), "style.png": (48, 48)}
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        coarse = random.integers(0, 256, (6, 6, 3), np.uint8)
        photo = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        photo.save(path)
        mask = np.zeros(size, np.uint8)
        mask[: size[0] // 2] = 1
        masks = folder / ("style_mask.png" if name == "style.png" else "masks")
        if masks.suffix:
            Image.fromarray(mask).save(masks)
        else:
            masks.mkdir(exist_ok=True)
            Image.fromarray(mask).save(masks / f"{path.stem}.png")
    return folder


@pytest.fixture(scope="module")
def stylizer(folder):
    files = [folder / f"block{block}.safetensors" for block in (1, 2)]
    return load_stylizer(files)


def _read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_folder_with_masks_gets_a_file_for_every_photo(folder, stylizer, tmp_path):
    files = list_content_files(folder / "photos", tmp_path, folder / "masks", ".webp")
    assert [file.output.name for file in files] == ["a.webp", "b.webp"]
    styles = [StyleFile(folder / "style.png", folder / "style_mask.png")]
    work = FileStylizer(stylizer, styles)
    for file in files:
        work.stylize(file, grid=True)
        height, width = _read(file.path).shape[:2]
        assert work.notes == ()
        assert _read(file.output).shape == (height, width, 3)
        assert _read(file.grid).shape[1] > 2 * width - 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.webp", "b.webp", "a_grid.png", "b_grid.png"}


def test_masks_change_the_result_and_unknown_regions_are_told(
    folder, stylizer, tmp_path
):
    (file,) = list_content_files(
        folder / "photos/a.png", tmp_path / "a.png", folder / "masks/a.png"
    )
    masked = FileStylizer(
        stylizer, [StyleFile(folder / "style.png", folder / "style_mask.png")]
    ).stylize(file)
    # A style without mask has one region, of another name than those of the photo.
    styles = [StyleFile(folder / "style.png")]
    work = FileStylizer(stylizer, styles)
    whole = work.stylize(file)
    assert np.abs(masked - whole).mean() > 1.0
    assert any("in the content alone" in note for note in work.notes)
    # A limit of the side keeps the size of the photo.
    small = FileStylizer(stylizer, styles, max_side=32).stylize(file)
    assert small.shape == whole.shape == (40, 56, 3)
    assert 0.0 < np.abs(small - whole).mean() < 60.0


def test_a_saved_style_gives_the_same_bits(folder, stylizer, tmp_path):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    photo = FileStylizer(stylizer, [StyleFile(folder / "style.png")])
    photo.measure(StyleFile(folder / "style.png")).write(tmp_path / "s.safetensors")
    assert read_style(tmp_path / "s.safetensors").blocks == (2, 1)
    saved = FileStylizer(stylizer, [StyleFile(tmp_path / "s.safetensors")])
    np.testing.assert_array_equal(photo.stylize(file), saved.stylize(file))


def test_what_does_not_fit_is_one_sentence(folder, stylizer, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no mask for .*b\.jpg"):
        (tmp_path / "masks").mkdir()
        Image.new("L", (8, 8)).save(tmp_path / "masks" / "a.png")
        list_content_files(folder / "photos", tmp_path, tmp_path / "masks")
    with pytest.raises(ConfigError, match="would overwrite a file that is read"):
        list_content_files(folder / "photos/b.jpg", folder / "photos/b.jpg")
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        FileStylizer(stylizer, [StyleFile(broken)]).stylize(file)
    assert not (tmp_path / "a.png").exists()


def test_the_command_goes_on_behind_a_broken_photo(folder, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes((folder / "photos/a.png").read_bytes())
    (photos / "0.jpg").write_bytes(b"\xff\xd8\xff")
    done = run_command(
        "stylize",
        *(f"--content={photos}", f"--style={folder / 'style.png'}"),
        f"--output={tmp_path / 'out'}",
        f"--pairs={folder / 'block1.safetensors'},{folder / 'block2.safetensors'}",
        *("--alpha=0.7", "--strengths=2:0.5", "--transform=ot", "--grid"),
        f"--save_style={tmp_path / 's.safetensors'}",
    )
    assert done.returncode == 1, done.stderr
    assert "error: 1 of 2 photos" in done.stderr and "0.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert "[2/2]" in done.stdout and "peak memory" in done.stdout
    assert _read(tmp_path / "out/a.png").shape == (40, 56, 3)
    assert (tmp_path / "s.safetensors").exists()
