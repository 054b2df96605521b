"""The file of a style."""

import json

import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.applications.stylization.style_statistics import (
    StyleStatistics,
    read_style,
)
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.ops.moments import Moments

KEY = "vgg_unpool_jax_style"


def _moments(channels, regions, seed):
    generator = np.random.default_rng(seed)
    roots = generator.standard_normal((regions, channels, channels))
    return Moments(
        generator.uniform(1, 100, regions).astype(np.float32),
        generator.standard_normal((regions, channels)).astype(np.float32),
        (roots @ roots.swapaxes(1, 2)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def style():
    """Blocks 1 and 2 of two regions."""
    moments = {1: _moments(64, 2, 0), 2: _moments(128, 2, 1)}
    colors = np.random.default_rng(2).uniform(0, 255, (2, 16, 3)).astype(np.float32)
    names, digests = ("#80ff00", "Himmel, blau"), {1: "aa", 2: "bb"}
    return StyleStatistics(names, moments, digests, colors)


@pytest.fixture(scope="module")
def file(style, tmp_path_factory):
    """That style as a file."""
    path = tmp_path_factory.mktemp("style") / "new" / "style.safetensors"
    style.write(path)
    return path


def _one_sentence(path):
    with pytest.raises(UserError) as caught:
        read_style(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 300
    return message


def test_a_style_comes_back_to_the_bit(style, file):
    found = read_style(file)
    assert found.names == style.names
    assert dict(found.encoders) == dict(style.encoders)
    assert found.blocks == style.blocks == (2, 1)
    np.testing.assert_array_equal(found.colors, style.colors)
    for block in (1, 2):
        for name in Moments._fields:
            array = getattr(found.moments[block], name)
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, getattr(style.moments[block], name))
    np.testing.assert_array_equal(found.areas(2), style.moments[2].count)
    # Nothing but moments and colours: as small as they are.
    assert file.stat().st_size < 4 * 2 * (64 * 65 + 128 * 129 + 2 + 16 * 3) + 1000
    assert [path.name for path in file.parent.iterdir()] == ["style.safetensors"]


def test_the_same_style_is_the_same_file(style, file, tmp_path):
    # The order of several entries of metadata changed every time.
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        read_style(file).write(path)
        assert path.read_bytes() == file.read_bytes()


def test_the_whole_is_all_regions_together(style):
    whole = style.whole[1]
    moments = style.moments[1]
    share = moments.count / moments.count.sum()
    np.testing.assert_allclose(
        whole.mean[0], share @ moments.mean, rtol=1e-4, atol=1e-5
    )
    squares = moments.covariance + moments.mean[:, :, None] * moments.mean[:, None, :]
    wanted = np.tensordot(share, squares, 1) - np.outer(whole.mean[0], whole.mean[0])
    np.testing.assert_allclose(whole.covariance[0], wanted, rtol=1e-3, atol=1e-3)


def test_a_file_cut_anywhere_is_refused_in_one_sentence(file, tmp_path):
    data = file.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    path = tmp_path / "cut.safetensors"
    places = {0, 1, 7, 8, 9, 100, header - 1, header, header + 1, len(data) - 1}
    for place in sorted(places | set(range(header, len(data), 9973))):
        path.write_bytes(data[:place])
        assert "damaged or no .safetensors" in _one_sentence(path)
    path.write_bytes(data + b"more")
    assert "damaged or no .safetensors" in _one_sentence(path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 3, "has version 3 of its format, this program reads 2"),
        ("names", ["a"], "damaged"),
        ("encoders", {}, "no block"),
    ],
)
def test_a_description_that_does_not_fit_is_one_sentence(
    field, value, words, file, tmp_path
):
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    known = json.loads(data[8 : 8 + length])["__metadata__"]
    known[KEY] = json.dumps(json.loads(known[KEY]) | {field: value})
    path = tmp_path / "changed.safetensors"
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(data), known))
    assert words in _one_sentence(path)


def test_other_tensors_are_no_style(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save({"kernel": np.ones(3, np.float32)}))
    assert "not that of a style" in _one_sentence(path)
