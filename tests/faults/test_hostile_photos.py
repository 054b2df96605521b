"""Photos as strangers send them: each kind is shown, or refused in one sentence.

The table `KINDS` says what is expected of a photo by its name. All of them lie in one
folder with a few plain ones, and are read one by one, by loaders and by a training.
"""

import collections
import io
import logging
import struct
import tracemalloc
import zlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from configs.unpooling import base as unpooling
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.data import Split, make_loader, make_source, random_crop, transforms
from vgg_unpool_jax.data.photo_files import list_photo_files
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.results import write_evaluation

pytestmark = pytest.mark.fault("hostile photos")

COLOUR = (200, 40, 90)  # of every photo, so that it can be told from its other frames
CLOSE = 6  # grey levels: JPEG rounds, and inks are not colours
HEIGHT, WIDTH = 24, 32


class Kind(NamedTuple):
    """A photo and what becomes of it."""

    name: str
    content: bytes | str  # or what a symbolic link points at
    expected: tuple[int, int] | str  # height and width, or the refusal's beginning
    shown: str | None = None  # the name in messages, where it is another


def _encode(format_name, size=(WIDTH, HEIGHT), mode="RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, COLOUR).convert(mode).save(file, format_name, **options)
    return file.getvalue()


def _animation(format_name, **options) -> bytes:
    later = [Image.new("RGB", (WIDTH, HEIGHT), (0, 0, level)) for level in (0, 255)]
    options |= {"save_all": True, "append_images": later, "duration": 50}
    return _encode(format_name, **options)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def _png(width, height, bits, colour_type, rows: bytes, *more: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [_chunk(b"IHDR", head), *more, _chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _deep_png() -> bytes:
    """16 bits a channel, which Pillow cannot write."""
    row = b"\0" + struct.pack(">HHH", *(257 * level for level in COLOUR)) * WIDTH
    return _png(WIDTH, HEIGHT, 16, 2, row * HEIGHT)


def _bomb() -> bytes:
    """A whole photo of 196 million black pixels in a few kilobytes."""
    side = 14_000
    return _png(side, side, 1, 0, (b"\0" + bytes(side // 8)) * side)


def _text_bomb() -> bytes:
    """A small photo with a comment that unpacks to 64 MiB."""
    comment = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26)))
    row = b"\0" + bytes(COLOUR) * WIDTH
    return _png(WIDTH, HEIGHT, 8, 2, row * HEIGHT, comment)


_PLAIN = {kind: _encode(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")}
_SIZE = (HEIGHT, WIDTH)
_UNKNOWN = "is not an image in a known format (JPEG, PNG, BMP, WebP, TIFF, GIF, PPM"
_LOOP = "cannot be read: Too many levels of symbolic links"

KINDS = (
    *(Kind(f"plain{n:02d}.jpg", _PLAIN["JPEG"], _SIZE) for n in range(8)),
    Kind("truncated.jpg", _PLAIN["JPEG"][:-60], "is damaged: "),
    Kind("truncated.png", _PLAIN["PNG"][:60], "is damaged: "),
    Kind("truncated.webp", _PLAIN["WEBP"][:-20], "is "),
    Kind("only_the_first_bytes.jpg", _PLAIN["JPEG"][:3], _UNKNOWN),
    Kind("no_bytes.png", b"", "is empty (0 bytes)"),
    Kind("png_inside.jpg", _PLAIN["PNG"], _SIZE),
    Kind("text_inside.jpg", b"This is no photo.\n" * 40, _UNKNOWN),
    Kind(
        "bomb.png",
        _bomb(),
        "has too many pixels: more than 178956970 (twice PIL.Image.MAX_IMAGE_PIXELS)",
    ),
    Kind("bomb_in_a_comment.png", _text_bomb(), "is damaged: Decompressed data too"),
    Kind("one_pixel.png", _encode("PNG", (1, 1)), (1, 1)),
    Kind("one_pixel.jpg", _encode("JPEG", (1, 1)), (1, 1)),
    Kind("wide.png", _encode("PNG", (20_000, 3)), (3, 20_000)),
    Kind("tall.jpg", _encode("JPEG", (3, 20_000)), (20_000, 3)),
    Kind("sixteen_bits.png", _deep_png(), _SIZE),
    Kind("four_inks.jpg", _encode("JPEG", mode="CMYK"), _SIZE),
    Kind("animated.gif", _animation("GIF"), _SIZE),
    Kind("animated.webp", _animation("WEBP", lossless=True), _SIZE),
    Kind("animated.png", _animation("PNG"), _SIZE),
    Kind("照片.png", _PLAIN["PNG"], _SIZE),
    Kind("空的.png", b"", "is empty (0 bytes)"),
    Kind("🏞️👩‍👩‍👧.webp", _PLAIN["WEBP"], _SIZE),
    Kind("🗑️.webp", b"", "is empty (0 bytes)"),
    Kind("two\nlines.png", _PLAIN["PNG"], _SIZE),
    Kind("no\nlines.png", b"", "is empty (0 bytes)", r"no\nlines.png"),
    Kind("caf\udce9.png", _PLAIN["PNG"], _SIZE),  # Latin-1, as on old disks
    Kind("caf\udce9 vide.png", b"", "is empty (0 bytes)", r"caf\udce9 vide.png"),
    Kind("own_link.jpg", "own_link.jpg", _LOOP),
    Kind("link_to_nothing.png", "gone.png", "cannot be read: No such file or"),
    Kind("link_to_a_photo.png", "plain00.jpg", _SIZE),
)
SHOWN = {kind.name: kind.shown or kind.name for kind in KINDS}
REFUSED = {
    SHOWN[kind.name]: f"photo {SHOWN[kind.name]} {kind.expected}"
    for kind in KINDS
    if isinstance(kind.expected, str)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All kinds in one folder, with two loops of folders; do not write into it."""
    folder = tmp_path_factory.mktemp("hostile")
    for kind in KINDS:
        if isinstance(kind.content, str):
            (folder / kind.name).symlink_to(kind.content)
        else:
            (folder / kind.name).write_bytes(kind.content)
    # A folder by a photo's name is no photo, and its loops back lead nowhere new.
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "back").symlink_to(folder)
    (folder / "folder.jpg" / "itself").symlink_to(folder / "folder.jpg" / "itself")
    return folder


@pytest.fixture(scope="module")
def source(folder):
    return make_source(f"folder:{folder}")


def _names(source):
    return [source.name(index) for index in range(len(source))]


def test_exactly_the_files_by_a_photos_name_are_listed(source):
    assert _names(source) == sorted(kind.name for kind in KINDS)
    assert len(REFUSED) < 0.5 * len(KINDS)


def _assert_as_expected(read, kind, named):
    if isinstance(kind.expected, str):
        with pytest.raises(PhotoError) as caught:
            read()
        sentence = str(caught.value)
        assert sentence.startswith(f"photo {named} {kind.expected}")
        assert "\n" not in sentence
        return
    photo = read()
    assert (photo.shape, photo.dtype) == ((*kind.expected, 3), np.uint8)
    assert np.abs(photo.astype(int) - COLOUR).max() <= CLOSE


@pytest.mark.parametrize("kind", KINDS[7:], ids=[SHOWN[k.name] for k in KINDS[7:]])
def test_each_kind_is_shown_or_refused_as_the_table_says(kind, source, folder):
    index = _names(source).index(kind.name)
    _assert_as_expected(lambda: source[index], kind, SHOWN[kind.name])
    # One by one, as the command for single photos reads them, under its whole path.
    files = {file.path.name: file for file in list_photo_files(folder, folder / "out")}
    named = folder / SHOWN[kind.name]
    _assert_as_expected(files[kind.name].read, kind, named)


_OPTIONS = {"batch_size": 4, "image_size": 16, "seed": 3, "max_broken_share": 0.5}


def _load(source, count, **options):
    """All batches in one dict, and the loader."""
    with make_loader(source, np.arange(len(source)), **_OPTIONS, **options) as loader:
        batches = [next(loader) for _ in range(count)]
    return {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}, loader


def _assert_refused_are_named(loader, caplog):
    """Every refused photo, with its sentence, and in the log once."""
    assert set(loader.broken) == set(REFUSED)
    for name, reason in loader.broken.items():
        assert reason.startswith(REFUSED[name])
    warnings = [record.getMessage() for record in caplog.records]
    assert sorted(warnings) == sorted(
        f"skipped a broken photo: {reason}" for reason in loader.broken.values()
    )


def test_training_goes_on_and_names_each_broken_photo_once(source, caplog):
    epochs = 3
    with caplog.at_level(logging.WARNING, logger="absl"):
        seen, loader = _load(
            source,
            epochs * len(source) // 4,
            crop="random_resize:0.5",
            shuffle=True,
            num_epochs=None,
        )
    assert seen["mask"].all()
    names = _names(source)
    shown = {names[index] for index in seen["index"]}
    assert shown == {k.name for k in KINDS if not isinstance(k.expected, str)}
    # What is smaller than a crop is mirrored, never filled up with black.
    assert np.abs(seen["image"].astype(int) - COLOUR).max() <= CLOSE
    _assert_refused_are_named(loader, caplog)


def test_evaluation_leaves_holes_where_broken_photos_are(source, caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        seen, loader = _load(
            source, -(-len(source) // 4), crop="center", shuffle=False, num_epochs=1
        )
    _assert_refused_are_named(loader, caplog)
    by_name = {kind.name: kind for kind in KINDS}
    sizes = [by_name[name].expected for name in _names(source)]
    assert loader.too_small == {
        kind.name: kind.expected
        for kind in KINDS
        if not isinstance(kind.expected, str) and min(kind.expected) < 16
    }
    assert len(loader.too_small) == 4
    whole = [not isinstance(size, str) and min(size) >= 16 for size in sizes]
    mask, count = seen["mask"], len(source)
    np.testing.assert_array_equal(mask[:count], whole)
    assert not mask[count:].any() and not seen["image"][~mask].any()
    assert np.abs(seen["image"][mask].astype(int) - COLOUR).max() <= CLOSE


def test_a_long_photo_is_not_enlarged_as_a_whole(monkeypatch):
    """At 256 rows it would have 437 million pixels."""
    photo = np.random.default_rng(0).integers(0, 256, (3, 20_000, 3), np.uint8)
    tracemalloc.start()
    random_crop(photo, 256, np.random.default_rng(1))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * 2**20
    # What is cut out is the same, but for rounding.
    part = photo[:, :50]
    whole = random_crop(part, 64, np.random.default_rng(2)).astype(int)
    monkeypatch.setattr(transforms, "_MOST_ENLARGED_PIXELS", 0)
    assert np.abs(random_crop(part, 64, np.random.default_rng(2)) - whole).max() <= 2


@pytest.mark.extended
def test_a_run_is_trained_and_evaluated_on_them(source, folder, tmp_path, caplog):
    """From the folder to the result file, which names what was left out."""
    config = unpooling.make_config(1, "runlocal")
    config.data.source = f"folder:{folder}"
    config.data.image_size = config.evaluation.image_size = 16
    config.data.max_broken_share = 0.5
    config.data.split_fractions = (0.8, 0.1, 0.1)
    config.encoder.weights = "random"
    config.loss.ms_ssim = config.loss.perceptual = 0.0
    config.num_steps = 2 * len(source) // config.data.batch_size
    config.evaluation.every_steps = config.num_steps // 3
    config.evaluation.num_photos = 0  # all of them
    with caplog.at_level(logging.WARNING):
        result = train_and_evaluate(config, tmp_path)
    assert int(result.state.step) == config.num_steps
    assert len(result.metrics) > 3
    assert all(np.isfinite(value) for value in result.metrics.values())
    # Each once by those who read for training and once by validation, however often
    # that looks at its photos; the first batch is read once more, for the first state.
    told = collections.Counter(
        record.getMessage().removeprefix("skipped a broken photo: ")
        for record in caplog.records
        if record.msg.startswith("skipped a broken photo")
    )
    starts = tuple(REFUSED.values())
    assert all(sentence.startswith(starts) for sentence in told)
    assert len(told) > 0.7 * len(REFUSED)
    assert max(told.values()) <= 3
    pair = load_pair(tmp_path)
    part = Split(source, np.arange(len(source)))
    score = pair.evaluate(part, image_size=16, batch_size=4, max_broken_share=0.5)
    results, *pictures = write_evaluation(tmp_path, pair, score, {"source": "hostile"})
    told = json_file.read(results)
    assert set(told["broken"]) == set(REFUSED)
    assert set(told["too_small"]) == {
        "one_pixel.jpg",
        "one_pixel.png",
        "tall.jpg",
        "wide.png",
    }
    left = len(KINDS) - len(REFUSED) - 4
    assert told["metrics"]["l1"]["photos"] == left
    assert all(picture.exists() for picture in pictures)
    score.report().encode()
