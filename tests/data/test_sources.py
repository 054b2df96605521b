"""Source specs and the sample photos."""

import socket

import numpy as np
import pytest

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.errors import SourceError


@pytest.mark.parametrize(
    "spec",
    ["", "folder:", "folders:/x", "samples:3", "/x"],
)
def test_a_misspelt_spec_lists_what_is_known(spec):
    with pytest.raises(SourceError) as error:
        make_source(spec)
    message = str(error.value)
    assert repr(spec) in message
    for kind in ("folder:PATH", "zip:PATH", "tfds:NAME", "tfds:NAME:SPLIT", "samples"):
        assert kind in message


def test_sample_photos_need_no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the sample photos must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    source = make_source("samples")
    names = [source.name(index) for index in range(len(source))]
    assert len(set(names)) == len(names) >= 12
    for index in range(len(source)):
        photo = source[index]
        assert photo.dtype == np.uint8 and photo.shape[2] == 3
        assert min(photo.shape[:2]) >= 256
        assert photo.std() > 15
    colourful = [np.ptp(source[index], axis=2).mean() > 5 for index in range(8)]
    assert all(colourful)


def test_a_sample_photo_equals_scikit_images():
    data = pytest.importorskip("skimage.data")
    source = make_source("samples")
    names = [source.name(index) for index in range(len(source))]
    np.testing.assert_array_equal(
        source[names.index("astronaut.png")], data.astronaut()
    )
    camera = source[names.index("camera.png")]
    np.testing.assert_array_equal(camera, np.stack([data.camera()] * 3, axis=-1))
