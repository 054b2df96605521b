"""Style transfer from files to files, by the library and by the command."""

import gc
import types
import weakref

import jax
import numpy as np
import pytest
from PIL import Image

from configs.unpooling.base import make_config
from tests.applications.stylization.cube_files import read_cube
from vgg_unpool_jax.applications.stylization import faces, style_sheet
from vgg_unpool_jax.applications.stylization.files import (
    ContentFile,
    FileStylizer,
    StyleFile,
    list_content_files,
    load_stylizer,
)
from vgg_unpool_jax.applications.stylization.looks import Look
from vgg_unpool_jax.applications.stylization.lut import apply_lut
from vgg_unpool_jax.applications.stylization.one_pass import load_one_pass
from vgg_unpool_jax.applications.stylization.style_statistics import read_style
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.evaluation.pictures import titled_sheet
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.pair import Encoder, Pair


def _pair(block):
    """A pair that nobody has trained."""
    config = make_config(block, "runlocal")
    config.convolution = "xla"
    weights = random_vgg19_weights(0, block=block)
    _, decoder = make_pair_models(config, weights.preprocessing)
    side = 2 ** (block - 1)
    features = np.zeros((1, 1, 1, (64, 128)[block - 1]), np.float32)
    switches = [np.zeros((1, side // 2, side // 2, 64), np.uint8)] * (block - 1)
    variables = jax.jit(decoder.init)(jax.random.key(block), features, switches)
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


@pytest.mark.extended
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


@pytest.mark.extended
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


def test_the_strengths_are_those_of_the_look_times_the_user_s(
    folder, stylizer, tmp_path
):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    styles = [StyleFile(folder / "style.png")]
    none = Look("wct", {2: 0.0, 1: 0.0}, 0.05, 30.0, 0)
    options = {"smoothing": "none", "look": none}
    result = FileStylizer(stylizer, styles, **options).stylize(file)
    np.testing.assert_allclose(result, _read(file.path), atol=1e-3)
    options["look"] = Look("wct", {2: 0.0, 1: 1.0}, 0.05, 30.0, 0)
    options["strengths"] = {1: 0.0}
    result = FileStylizer(stylizer, styles, **options).stylize(file)
    np.testing.assert_allclose(result, _read(file.path), atol=1e-3)


def test_detail_of_large_photos_is_their_own(folder, stylizer, tmp_path):
    noise = np.random.default_rng(1).normal(128, 12, (128, 128, 3))
    photo = noise.clip(0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (file,) = list_content_files(tmp_path / "photo.png", tmp_path / "a.png")
    work = FileStylizer(stylizer, [StyleFile(folder / "style.png")], max_side=32)
    result = work.stylize(file)
    steps = [np.diff(x.astype(float), axis=1).ravel() for x in (photo, result)]
    assert np.corrcoef(*steps)[0, 1] > 0.9


def test_a_saved_style_gives_the_same_bits(folder, stylizer, tmp_path):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    photo = FileStylizer(stylizer, [StyleFile(folder / "style.png")])
    photo.measure(StyleFile(folder / "style.png")).write(tmp_path / "s.safetensors")
    assert read_style(tmp_path / "s.safetensors").blocks == (2, 1)
    saved = FileStylizer(stylizer, [StyleFile(tmp_path / "s.safetensors")])
    np.testing.assert_array_equal(photo.stylize(file), saved.stylize(file))


def test_a_table_of_the_colours_is_written_and_used(folder, stylizer, tmp_path):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    styles = [StyleFile(folder / "style.png")]
    cube = tmp_path / "a.cube"
    result = FileStylizer(stylizer, styles, smoothing="lut").stylize(file, lut=cube)
    # What went through a table is described by one.
    again = apply_lut(read_cube(cube), _read(file.path))
    assert np.abs(again - result).mean() < 6
    whole = FileStylizer(stylizer, styles).stylize(file)
    assert 0.5 < np.abs(whole - result).mean() < 60


@pytest.mark.extended
def test_automatic_regions_are_found_and_shown(folder, stylizer, tmp_path):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    styles = [StyleFile(folder / "style.png")]
    weights = random_vgg19_weights(0, block=5)
    encoder = Encoder(5, weights)
    work = FileStylizer(stylizer, styles, automatic=2, encoder=encoder)
    result = work.stylize(file)
    ours, theirs = work.regions
    assert ours.coverage.shape == (40, 56, 2) and theirs.coverage.shape == (48, 48, 2)
    assert np.abs(result - FileStylizer(stylizer, styles).stylize(file)).mean() > 0.1


def _encoder(features, calls):
    """Of block 5: the same features (512,) for all of a photo, by its padded width."""

    def encode(images):
        calls.append(images.shape)
        cells = tuple(side // 16 for side in images.shape[1:3])
        found = np.asarray(features[images.shape[2]], np.float32)
        return np.broadcast_to(found, (1, *cells, len(found))), ()

    return types.SimpleNamespace(encode=encode)


def test_photos_that_have_nothing_alike_change_by_less_than_half(folder, stylizer):
    file = ContentFile(folder / "photos/a.png", None, folder / "unused.png")
    styles, calls, eye = [StyleFile(folder / "style.png")], [], np.eye(512)
    encoder = _encoder({64: eye[0], 48: eye[1]}, calls)
    work = FileStylizer(stylizer, styles, automatic=2, encoder=encoder)
    photo, result = work.render(file)
    _, plain = FileStylizer(stylizer, styles).render(file)
    assert np.abs(plain - photo).mean() > 10
    inside = (plain > 0) & (plain < 255)  # what is beyond was cut off
    calm = photo + 0.45 * (plain - photo)
    assert np.abs(result - calm)[inside].mean() < 1  # two regions with the same map
    work.render(file)
    assert len(calls) == 2  # the features of both are kept
    same = _encoder({64: eye[0], 48: eye[0]}, [])
    work = FileStylizer(stylizer, styles, automatic=2, encoder=same)
    assert np.abs(work.render(file)[1] - photo).mean() > np.abs(result - photo).mean()


def test_styles_measured_for_one_photo_are_not_kept(folder, stylizer, monkeypatch):
    file = ContentFile(folder / "photos/a.png", None, folder / "unused.png")
    measured, measure_style = [], stylizer.measure_style

    def measure(*arguments, **options):
        found = measure_style(*arguments, **options)
        measured.append(weakref.ref(found))
        return found

    monkeypatch.setattr(stylizer, "measure_style", measure)
    styles, eye = [StyleFile(folder / "style.png")], np.eye(512)
    encoder = _encoder({64: eye[0], 48: eye[1]}, [])
    work = FileStylizer(stylizer, styles, automatic=2, encoder=encoder)
    work.render(file)
    gc.collect()
    assert [reference() for reference in measured] == [None]
    # One without such regions serves all photos.
    work = FileStylizer(stylizer, styles)
    work.render(file)
    work.render(file)
    assert len(measured) == 2 and measured[1]() is not None


def test_each_of_several_styles_has_its_regions(folder, stylizer, tmp_path):
    """A JPEG mask of the content is near the colours of either style's mask."""
    red, blue = np.array([200, 30, 40]), np.array([20, 60, 180])
    between = (red + blue) // 2

    def mask(name, colours, size, **options):
        pixels = np.zeros((*size, 3), np.uint8)
        for part, colour in zip(
            np.array_split(pixels, len(colours)), colours, strict=True
        ):
            part[:] = colour
        Image.fromarray(pixels).save(tmp_path / name, **options)
        return tmp_path / name

    content = mask("c.jpg", [red, blue], (40, 56), quality=85)
    style, size = folder / "style.png", (48, 48)
    # In the order of the colours the first style has one between those of the photo.
    a = StyleFile(style, mask("a.png", [red, between, blue], size))
    b = StyleFile(style, mask("b.png", [blue + 3, red - 3], size), 1e-6)
    whole = StyleFile(style, None, 1e-6)
    file = ContentFile(folder / "photos/a.png", content, tmp_path / "out.png")
    work = FileStylizer(stylizer, [a])
    _, alone = work.render(file)
    (note,) = work.notes
    assert "in the style alone" in note
    work = FileStylizer(stylizer, [a, b])
    _, both = work.render(file)
    assert work.notes == (note,)
    work = FileStylizer(stylizer, [a, whole])
    _, mixed = work.render(file)
    for found in (both, mixed):
        np.testing.assert_allclose(found, alone, atol=1)


def test_regions_of_one_place_that_show_different_things_are_no_pair(folder, stylizer):
    file = ContentFile(folder / "photos/a.png", None, folder / "unused.png")
    styles, eye = [StyleFile(folder / "style.png")], np.eye(512, dtype=np.float32)

    def encode(images):
        width = images.shape[2] // 16
        rows = eye[[0, 0, 1]] if width == 4 else eye[[2, 2, 3]]
        return np.repeat(rows[None, :, None], width, axis=2), ()

    encoder = types.SimpleNamespace(encode=encode)
    work = FileStylizer(stylizer, styles, automatic=2, encoder=encoder)
    work.render(file)
    # Clusters of top and bottom, as nothing else tells them apart.
    assert [region.areas().min() > 300 for region in work.regions] == [True, True]
    assert any("0, 1: in the content alone" in note for note in work.notes)


def test_faces_change_less_but_not_through_a_table(folder, stylizer):
    file = ContentFile(folder / "photos/a.png", None, folder / "unused.png")
    styles, weights = [StyleFile(folder / "style.png")], faces._weights()[0]
    encoder = _encoder({64: weights}, [])
    photo, plain = FileStylizer(stylizer, styles).render(file)
    kept = faces.keep_faces(photo, plain, np.ones((40, 56)), share=0.8)
    work = FileStylizer(stylizer, styles, encoder=encoder, faces=0.8)
    inside = ((plain > 0) & (plain < 255)).all(axis=2)  # what is beyond was cut off
    np.testing.assert_allclose(
        work.render(file)[1][inside], np.clip(kept, 0, 255)[inside], atol=0.5
    )
    assert np.abs(kept - plain).mean() > 5
    table, other = (
        FileStylizer(
            stylizer, styles, encoder=encoder, faces=share, smoothing="lut"
        ).render(file)[1]
        for share in (0.8, 0.0)
    )
    np.testing.assert_array_equal(table, other)


def test_a_sheet_has_the_photo_in_each_style_by_name(
    folder, stylizer, tmp_path, monkeypatch
):
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "sheet.png")
    Image.fromarray(255 - _read(folder / "style.png")).save(tmp_path / "style.png")
    Image.fromarray(_read(folder / "photos/b.jpg")).save(tmp_path / "other.png")
    paths = [folder / "style.png", tmp_path / "style.png", tmp_path / "other.png"]
    styles, shown = [StyleFile(path) for path in paths], {}

    def keep(pictures):
        shown.update(pictures)
        return titled_sheet(pictures)

    monkeypatch.setattr(style_sheet, "titled_sheet", keep)
    style_sheet.write_style_sheet(stylizer, file, styles, faces=0.0)
    assert list(shown) == ["the photo", str(paths[0]), str(paths[1]), "other"]
    np.testing.assert_array_equal(shown["the photo"], _read(file.path))
    for style, picture in zip(styles, list(shown.values())[1:], strict=True):
        alone = FileStylizer(stylizer, [style]).render(file)[1]
        np.testing.assert_allclose(picture, alone, atol=1e-3)
    assert _read(file.output).shape == (2 * (40 + 20 + 4), 2 * 56 + 3 * 4, 3)


def test_what_does_not_fit_is_one_sentence(folder, stylizer, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match=r"no mask for a\.png .* nor for the 1 other"):
        list_content_files(folder / "photos", tmp_path, tmp_path / "masks")
    with pytest.raises(ConfigError, match=r"there is no mask .*missing\.png"):
        list_content_files(folder / "photos", tmp_path, tmp_path / "missing.png")
    with pytest.raises(ConfigError, match="would overwrite a file that is read"):
        list_content_files(folder / "photos/b.jpg", folder / "photos/b.jpg")
    (file,) = list_content_files(folder / "photos/a.png", tmp_path / "a.png")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        FileStylizer(stylizer, [StyleFile(broken)]).stylize(file)
    assert not (tmp_path / "a.png").exists()


def _listed(photos, masks, tmp_path):
    """Mask, relative to its folder, or problem, of each photo by its path."""
    files = list_content_files(photos, tmp_path / "results", masks)
    return {
        file.path.relative_to(photos).as_posix(): (
            file.problem
            if file.mask is None
            else file.mask.relative_to(masks).as_posix()
        )
        for file in files
    }


def test_masks_are_pictures_or_layers_below_the_photos_own_subfolder(tmp_path):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    names = ["a/1.jpg", "b/1.jpg", "b/2.jpg", "3.jpg", "4.jpg", "4.png", "b.jpg"]
    for name in names:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    for name in ("a/1.png", "b/1.tif", "2.png", "3.png", "4.jpg.png", "4.png.png"):
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        (masks / name).touch()
    for name in ("a/1.json", "3.json", ".3.png", "3.txt"):  # labelme's, and others
        (masks / name).touch()
    found = _listed(photos, masks, tmp_path)
    # The folder masks/b is no mask of b.jpg in layers: photos/b has photos.
    assert "there is no mask for b.jpg" in found.pop("b.jpg")
    assert found == {
        "a/1.jpg": "a/1.png",
        "b/1.jpg": "b/1.tif",
        "b/2.jpg": "2.png",
        "3.jpg": "3.png",
        "4.jpg": "4.jpg.png",
        "4.png": "4.png.png",
    }
    (masks / "b/1.tif").rename(masks / "1.png")
    (masks / "4.jpg.png").rename(masks / "4.png")
    (masks / "4.png.png").unlink()
    (masks / "3.bmp").touch()
    (masks / "2.png").unlink()
    (masks / "b/2").mkdir()
    found = _listed(photos, masks, tmp_path)
    assert "could be the mask of b/1.jpg and of another photo" in found["b/1.jpg"]
    assert "could be the mask of 4.jpg and of another photo" in found["4.jpg"]
    assert "3.bmp and 3.png are masks for 3.jpg" in found["3.jpg"]
    assert found["b/2.jpg"] == "b/2" and found["a/1.jpg"] == "a/1.png"


def test_a_wrong_mask_of_a_style_is_refused_before_the_work(folder, stylizer, tmp_path):
    Image.new("L", (48, 9)).save(tmp_path / "m.png")
    with pytest.raises(PhotoError, match=r"m\.png is 48×9 pixels"):
        FileStylizer(stylizer, [StyleFile(folder / "style.png", tmp_path / "m.png")])


@pytest.mark.extended
@pytest.mark.real_data
def test_a_folder_with_one_look_has_the_same_bits_again(
    vgg19_weights_path, photos_folder, tmp_path
):
    stylizer = load_one_pass("vgg19-style", vgg19_weights_path)
    paths = sorted((photos_folder / "coco_test").glob("*.jpg"))[:3]
    style = StyleFile(tmp_path / "look.safetensors")
    FileStylizer(stylizer, [StyleFile(paths[2])]).measure(StyleFile(paths[2])).write(
        style.path
    )

    def run(folder, order):
        work = FileStylizer(
            stylizer, [style], vgg19=vgg19_weights_path, max_side=256, faces=0.8
        )
        for path in order:
            file = tmp_path / folder / f"{path.stem}.png"
            work.stylize(ContentFile(path, None, file))
        return [
            (tmp_path / folder / f"{path.stem}.png").read_bytes() for path in paths[:2]
        ]

    assert run("one", paths[:2]) == run("two", paths[1::-1])
