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
    return StyleStatistics(("#80ff00", "Himmel, blau"), moments, {1: "aa", 2: "bb"})


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


def _changed(file, path, *, description=None, metadata=None, tensors=None):
    """A copy whose description or tensors are changed by functions."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    known = json.loads(data[8 : 8 + length])["__metadata__"]
    arrays = safetensors.numpy.load(data)
    if tensors:
        tensors(arrays)
    if description:
        told = json.loads(known[KEY])
        description(told)
        known = {KEY: json.dumps(told)}
    known = known if metadata is None else metadata
    path.write_bytes(safetensors.numpy.save(arrays, known))
    return path


def test_a_style_comes_back_to_the_bit(style, file):
    found = read_style(file)
    assert found.names == style.names
    assert dict(found.encoders) == dict(style.encoders)
    assert found.blocks == style.blocks == (2, 1)
    for block in (1, 2):
        for name in Moments._fields:
            array = getattr(found.moments[block], name)
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, getattr(style.moments[block], name))
    np.testing.assert_array_equal(found.areas(2), style.moments[2].count)
    # Nothing but the moments: as small as they are.
    assert file.stat().st_size < 4 * 2 * (64 * 65 + 128 * 129 + 2) + 1000
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


def test_other_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "picture.safetensors"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    assert "damaged or no .safetensors" in _one_sentence(path)
    path.write_text("{}" * 50)
    assert "damaged or no .safetensors" in _one_sentence(path)
    for metadata in (None, {}, {"format": "pt"}):
        arrays = {"kernel": np.ones(3, np.float32)}
        path.write_bytes(safetensors.numpy.save(arrays, metadata))
        assert "not that of a style" in _one_sentence(path)
    header = b'{"__metadata__":null}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    _one_sentence(path)
    assert "cannot be read" in _one_sentence(tmp_path / "nothing.safetensors")
    assert "cannot be read" in _one_sentence(tmp_path)


def test_another_version_is_named(file, tmp_path):
    path = tmp_path / "later.safetensors"
    _changed(file, path, description=lambda told: told.update(version=2))
    assert "has version 2 of its format, this program reads 1" in _one_sentence(path)


DAMAGES = {
    "no moments": ({"tensors": lambda a: a.pop("block2/mean")}, "block2/mean"),
    "NaN": ({"tensors": lambda a: a["block1/mean"].fill(np.nan)}, "block1/mean"),
    "another shape": (
        {"tensors": lambda a: a.update({"block1/weight": np.ones(3, np.float32)})},
        "must be finite with shape",
    ),
    "no names": ({"description": lambda told: told.pop("names")}, "names"),
    "no block": ({"description": lambda told: told.update(encoders={})}, "no block"),
    "block 9": ({"description": lambda told: told["encoders"].update({"9": "c"})}, "9"),
    "no JSON": ({"metadata": {KEY: "{"}}, "damaged"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_what_is_wrong_inside_is_told_in_one_sentence(damage, file, tmp_path):
    change, told = DAMAGES[damage]
    path = _changed(file, tmp_path / "damaged.safetensors", **change)
    message = _one_sentence(path)
    assert "damaged" in message and told in message
