"""Photos through the learned codec and back."""

import hashlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.systems.codec import bitstream, coder, windows
from vgg_unpool_jax.systems.codec.bitstream import BitstreamError
from vgg_unpool_jax.systems.codec.entropy import logistic_bits, mixture_bits, scale_of
from vgg_unpool_jax.systems.codec.trained import CodecByHash, load_codec

_GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.mark.parametrize("size", [(1, 1), (8, 9), (43, 70)])
def test_read_gives_the_integers_that_were_written(codec, photo, size):
    part = photo[: size[0], : size[1]]
    for quality in (1, 2):
        content = codec.compress(part, quality)
        head, *read = codec.read(content)
        assert (head.height, head.width, head.quality) == (*size, quality)
        for found, expected in zip(read, codec.encode(part, quality), strict=True):
            np.testing.assert_array_equal(found, expected)
        decoded = codec.decompress(content)
        assert decoded.shape == part.shape and decoded.dtype == np.uint8
        expected = codec.decode(codec.encode(part, quality)[1], quality)
        expected = np.clip(expected[: size[0], : size[1]], 0, 255)
        assert np.abs(decoded - expected).max() <= 0.5 + 1e-3


def test_higher_quality_has_more_bytes_and_less_error_of_rounding(codec, photo):
    """A decoder that nobody has trained has other errors, which are larger."""
    stride, sizes, errors = codec.model.stride, [], []
    below, right = (-side % stride for side in photo.shape[:2])
    padded = np.pad(photo, [(0, below), (0, right), (0, 0)], mode="edge")
    for quality in (1, 2):
        sizes.append(len(codec.compress(photo, quality)))
        images = padded[None].astype(np.float32), jnp.array([quality - 1])
        exact = codec.model.apply(codec.variables, *images, method="encode")[0]
        rounded = codec.encode(photo, quality)[1]
        decoded = [codec.decode(x, quality) for x in (np.asarray(exact), rounded)]
        errors.append(np.abs(np.subtract(*decoded)).mean())
    assert sizes[0] < sizes[1]
    assert errors[0] > 1.2 * errors[1] > 0


def test_file_has_the_estimated_rate(codec, photo):
    """Of 12 × 12 latents, whole hyper latents as in the objective.

    The photo has little contrast: the estimate does not know that numbers beyond their
    table, of which an untrained codec has many, cost 16 bits.
    """
    side = 12 * codec.model.stride
    large = np.tile(photo // 4 + 96, (5, 3, 1))[:side, :side]
    content = codec.compress(large, 1)
    hyper, integers = (a[None].astype(np.float32) for a in codec.encode(large, 1))
    quality = jnp.array([0])
    apply = codec.model.apply
    means, indices = apply(codec.variables, hyper, integers, quality, method="predict")
    bits = logistic_bits(integers, means, scale_of(indices)).sum()
    density = apply(codec.variables, quality, method="hyper_density")
    bits += mixture_bits(hyper, *density).sum()
    head = 13
    assert abs(8 * (len(content) - head) / float(bits) - 1) < 0.02


def test_large_photos_are_coded_in_tiles_and_windows(codec, photo, monkeypatch):
    stride = codec.model.stride
    large = np.tile(photo, (8, 6, 1))[: 20 * stride, : 25 * stride]
    whole = codec.encode(large, 2)
    image = codec.decode(whole[1], 2)
    monkeypatch.setattr(windows, "WINDOW", 8)
    monkeypatch.setattr(windows, "TILE", 8)
    # Float32 sums of other windows may round another way at a half.
    windowed = codec.encode(large, 2)
    for found, expected in zip(windowed, whole, strict=True):
        assert np.mean(found != expected) < 1e-3
    np.testing.assert_allclose(codec.decode(whole[1], 2), image, atol=1e-2)
    content = codec.compress(large, 2)
    for found, expected in zip(codec.read(content)[1:], windowed, strict=True):
        np.testing.assert_array_equal(found, expected)

    decoded = codec.decompress(content)
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(BitstreamError, match="damaged in 1 of its 12 tiles"):
        codec.decompress(bytes(damaged))
    kept = codec.decompress(bytes(damaged), keep_damaged=True)
    changed = np.any(kept != decoded, axis=2)
    assert changed.any() and changed.mean() < 0.5


@pytest.mark.parametrize("window", [64, pytest.param(8, marks=pytest.mark.extended)])
def test_effort_lowers_the_cost_of_files(codec, photo, monkeypatch, window):
    monkeypatch.setattr(windows, "WINDOW", window)
    large = np.tile(photo, (4, 3, 1))[:150, :202]
    for quality in (1, 2):
        costs = []
        for effort in (0, 6):
            content = codec.compress(large, quality, effort=effort)
            error = codec.decompress(content).astype(float) - large
            weight = codec.config.loss.lambdas[quality - 1] / 3
            costs.append(8 * len(content) + weight * np.sum(np.square(error)))
        assert costs[1] < 0.99 * costs[0]
    with pytest.raises(ConfigError, match="effort must be at least 0, got -1"):
        codec.compress(photo, effort=-1)


def test_numbers_beyond_their_tables_are_coded_too(codec):
    generator = np.random.default_rng(3)
    hyper = generator.integers(-1023, 1024, (2, 2, codec.model.hyper_channels))
    integers = generator.integers(-9, 10, (7, 8, codec.model.channels))
    integers[3, 4], integers[5, 6] = coder.LARGEST, -coder.LARGEST
    parts = codec.tables, codec.net, codec.model.steps, 1
    stream = coder.write_tile(*parts, hyper, integers)
    empty = np.zeros_like(hyper), np.zeros_like(integers)
    found = coder.read_tile(*parts, *empty, stream)
    for array, expected in zip(found, (hyper, integers), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("name", "file", "expected_digest"),
    [
        (
            "codec-faces",
            "astronaut",
            "abe03996154026c405ddab671859bfd7a4ccadf349929207b976a23e529680a3",
        ),
        (
            "codec-photos",
            "astronaut-photos",
            "d9a577051d9135e04685ae56d65b86f1c21f982342c98a9e86d63aa77568a181",
        ),
    ],
    ids=["faces", "photos"],
)
def test_a_file_of_another_day_and_machine_is_decoded(name, file, expected_digest):
    """Written by Python 3.11, jax 0.10.2, one device of a CPU."""
    content = (_GOLDEN / f"{file}.vuc").read_bytes()
    codec = load_codec(name)
    _, hyper, integers = codec.read(content)
    numbers = np.concatenate([hyper.ravel(), integers.ravel()]).astype("<i2")
    digest = hashlib.sha256(numbers.tobytes()).hexdigest()
    assert digest == expected_digest
    with Image.open(_GOLDEN / f"{file}.png") as image:
        expected = np.asarray(image).astype(int)
    assert np.abs(codec.decompress(content) - expected).max() <= 1
    with jax.disable_jit():
        again = codec.read(content)[2]
    np.testing.assert_array_equal(again, integers)


def test_every_changed_bit_and_every_truncation_is_found(codec, photo):
    content = codec.compress(photo[:16, :16], 1)
    for position in range(8 * len(content)):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            codec.decompress(bytes(changed))
    for length in range(len(content)):
        with pytest.raises(BitstreamError):
            codec.decompress(content[:length])
    with pytest.raises(BitstreamError):
        codec.decompress(content + b"\0")


def test_streams_with_a_valid_check_sum_but_no_sense(codec):
    """What nobody wrote is refused, or decoded to some photo, never a crash."""
    generator = np.random.default_rng(2)
    head = bitstream.Head(codec.model_hash, 1, 20, 30, False)
    for _ in range(20):
        stream = generator.bytes(int(generator.integers(0, 60)))
        try:
            photo = codec.decompress(bitstream.write(head, [stream]))
        except BitstreamError as error:
            assert "cannot be decoded" in str(error)
        else:
            assert photo.shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"GIF89a" * 9, "no compressed photo"),
        (b"VU\x02" + bytes(20), "format version 2"),
        (b"VU\x01", "truncated"),
    ],
)
def test_other_files_are_refused(codec, content, message):
    with pytest.raises(BitstreamError, match=message):
        codec.decompress(content, name="a.vuc")


def test_head_that_asks_for_too_much_memory_is_refused(codec):
    head = bitstream.Head(codec.model_hash, 1, 65535, 65535, False)
    with pytest.raises(BitstreamError, match="65535×65535 pixels"):
        codec.decompress(bitstream.write(head, [b"x"]))


@pytest.mark.parametrize("shape", [(65536, 1, 3), (16384, 16385, 3)])
def test_photos_that_would_not_be_decoded_are_not_compressed(codec, shape):
    photo = np.broadcast_to(np.uint8(0), shape)
    with pytest.raises(PhotoError, match=f"got {shape[0]}×{shape[1]}"):
        codec.compress(photo)


def test_file_of_another_model(codec, photo):
    content = codec.compress(photo)
    other = bytes([content[3] ^ 1])
    changed = content[:3] + other + content[4:]
    with pytest.raises(BitstreamError, match="another model"):
        codec.decompress(changed)
    with pytest.raises(BitstreamError, match="none of the released"):
        CodecByHash().find(b"abc", "a.vuc")


def test_grey_photos_stay_grey(codec, photo):
    grey = np.repeat(photo[..., :1], 3, axis=2)
    decoded = codec.decompress(codec.compress(grey, grey=True))
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("quality", [0, 3, 1.5])
def test_quality_is_checked(codec, photo, quality):
    with pytest.raises(ConfigError, match="from 1 to 2"):
        codec.compress(photo, quality)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_release_holds_what_decides_about_a_file(codec, photo, tmp_path, dtype):
    """Written again, it has the same hash and decodes the same file."""
    paths = [tmp_path / f"codec-{name}.safetensors" for name in ("first", "again")]
    codec.export(paths[0], dtype=dtype)
    first = load_codec(paths[0])
    first.export(paths[1], dtype=dtype)
    again = load_codec(paths[1])
    assert again.model_hash == first.model_hash
    assert (first.model_hash == codec.model_hash) == (dtype == "float16")
    content = first.compress(photo)
    np.testing.assert_array_equal(again.read(content)[2], first.read(content)[2])


def test_integers_do_not_depend_on_how_the_device_computes(codec, photo):
    """Decoding to integers uses no compiled program at all."""
    content = codec.compress(photo)
    expected = codec.read(content)[2]
    with jax.disable_jit(), jax.transfer_guard("disallow"):
        np.testing.assert_array_equal(codec.read(content)[2], expected)
