"""Whatever is in the file: weights or a WeightsError, never another exception."""

import contextlib

import hypothesis
import pytest
import safetensors.numpy
from hypothesis import strategies as st

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors

pytestmark = pytest.mark.extended

MAGICS = (
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
    b"\x40\0\0\0\0\0\0\0{",
)
# The fixtures only give a folder and functions, which examples may share.
relaxed = hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
FORMATS = ("keras1", "keras3_by_class", "pth", "old pth", "own", "torchvision")


@pytest.fixture
def content(request, tmp_path, make_weights, layouts):
    """A valid file in the format that the test asks for."""
    weights = make_weights()
    path = tmp_path / "valid"
    arrays = layouts.torchvision_arrays(weights.params)
    if request.param == "own":
        save_safetensors(weights, path)
    elif request.param == "torchvision":
        safetensors.numpy.save_file(arrays, path)
    elif request.param.endswith("pth"):
        torch = pytest.importorskip("torch")
        state = {key: torch.from_numpy(array) for key, array in arrays.items()}
        zipped = request.param == "pth"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
    else:
        layouts.write_keras(path, weights.params, request.param)
    assert load_vgg19_weights(path, block=1).params
    return path.read_bytes()


@pytest.mark.parametrize("magic", MAGICS)
def test_random_bytes(magic, tmp_path, assert_refused):
    path = tmp_path / "w"

    @relaxed
    @hypothesis.given(st.binary(max_size=2000))
    def check(noise):
        path.write_bytes(magic + noise)
        assert_refused(lambda: load_vgg19_weights(path, block=1))

    check()


@pytest.mark.parametrize("content", FORMATS, indirect=True)
def test_truncated_files(content, tmp_path, assert_refused):
    path = tmp_path / "w"

    # Headers are at the front and, in zip archives, at the back.
    front = st.integers(0, min(4096, len(content) - 1))
    back = front.map(lambda cut: len(content) - 1 - cut)

    @relaxed
    @hypothesis.given(front | back | st.integers(0, len(content) - 1))
    def check(size):
        path.write_bytes(content[:size])
        assert_refused(lambda: load_vgg19_weights(path, block=1))

    check()


# HDF5 is left out: its C library is known to crash on crafted files, and a crash is not
# an exception that a reader could turn into a sentence.
@pytest.mark.parametrize("content", FORMATS[2:], indirect=True)
def test_changed_bytes(content, tmp_path):
    path = tmp_path / "w"
    positions = st.integers(0, 1500) | st.integers(
        len(content) - 1500, len(content) - 1
    )

    @relaxed
    @hypothesis.given(
        st.lists(st.tuples(positions, st.integers(1, 255)), min_size=1, max_size=4)
    )
    def check(changes):
        changed = bytearray(content)
        for position, bits in changes:
            changed[position] ^= bits
        path.write_bytes(changed)
        with contextlib.suppress(WeightsError):
            load_vgg19_weights(path, block=1)

    check()
