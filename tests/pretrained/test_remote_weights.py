"""Weight files in gs://BUCKET/PATH: fetched, and read as any other."""

import jax
import numpy as np
import pytest

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.pretrained.download import cache_folder
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights

FILE = "gs://bucket/weights/vgg19.safetensors"


def test_weights_are_written_to_and_read_from_a_bucket(bucket, tmp_path, monkeypatch):
    weights = random_vgg19_weights(0, block=1)
    save_safetensors(weights, FILE)
    save_safetensors(weights, tmp_path / "vgg19.safetensors")
    here = load_vgg19_weights(tmp_path / "vgg19.safetensors", block=1)
    assert list(bucket.objects) == ["weights/vgg19.safetensors"]
    monkeypatch.setenv("VGG19_WEIGHTS", FILE)
    for there in (load_vgg19_weights(FILE, block=1), load_vgg19_weights(block=1)):
        assert there.origin == here.origin and there.sha256 == here.sha256
        jax.tree.map(np.testing.assert_array_equal, there.params, here.params)


def test_what_cannot_be_read_is_named_as_it_was(bucket):
    with pytest.raises(WeightsError, match=f"^{FILE} cannot be read: No such file"):
        load_vgg19_weights(FILE)
    bucket.put("weights/vgg19.safetensors", b"<html>no weights</html>")
    with pytest.raises(WeightsError) as caught:
        load_vgg19_weights(FILE)
    assert str(caught.value).startswith(FILE)
    assert "\n" not in str(caught.value)


def test_downloads_do_not_go_into_a_bucket():
    with pytest.raises(WeightsError, match="gs://bucket/cache is no folder of this"):
        cache_folder("gs://bucket/cache")
