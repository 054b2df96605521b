"""SavedModels in the form of the published collection, loaded by TensorFlow alone."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from tests.npz import load_npz
from tests.systems.unpooling.export.conftest import (
    assert_same,
    make_pair,
    real_photo,
    run_elsewhere,
)
from vgg_unpool_jax.ops.switches import coordinates_to_codes
from vgg_unpool_jax.systems.unpooling.export.formats import export_pair
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("SavedModels need tensorflow-cpu", allow_module_level=True)

pytestmark = pytest.mark.extended

_SCRIPT = """
import sys
sys.modules["jax"] = None  # TensorFlow imports it for its own converters, if it can
import numpy as np
import tensorflow as tf
for folder in sys.argv[1:]:
    encoder, decoder, autoencoder = (
        tf.saved_model.load(f"{folder}/{name}")
        for name in ("encoder", "decoder", "autoencoder")
    )
    images = np.load(f"{folder}/images.npy")
    encoded = encoder(images)
    with tf.GradientTape() as tape:
        decoded = decoder(encoded)
        loss = tf.reduce_mean(decoded**2)
    gradients = tape.gradient(loss, decoder.trainable_variables)
    assert all(tf.reduce_any(g != 0) for g in gradients)
    assert len(decoder.variables) == len(decoder.trainable_variables) + 2
    with tf.GradientTape() as tape:  # as a perceptual loss would
        tensor = tf.constant(images)
        tape.watch(tensor)
        features = encoder(tensor, training=True)
        features = features[0] if isinstance(features, list) else features
        loss = tf.reduce_sum(features)
    assert tf.reduce_any(tape.gradient(loss, tensor) != 0)
    served = encoder.signatures["serving_default"](tf.constant(images))
    back = decoder.signatures["serving_default"](
        **(served if len(served) > 1 else {"features": served["outputs"]})
    )
    tf.debugging.assert_equal(back["outputs"], decoded)
    if isinstance(encoded, list):
        try:
            encoder(images[:, :-1])
        except tf.errors.InvalidArgumentError as error:
            assert "multiples of" in str(error), error
        else:
            raise AssertionError("an odd height went through")
    encoded = encoded if isinstance(encoded, list) else [encoded]
    arrays = {str(number): array.numpy() for number, array in enumerate(encoded)}
    whole = autoencoder(images).numpy()
    np.savez(f"{folder}/out.npz", decoded=decoded.numpy(), whole=whole, **arrays)
"""


@pytest.fixture(scope="module")
def loaded(cases, tmp_path_factory):
    """Case name -> what TensorFlow made of its images."""
    folder = tmp_path_factory.mktemp("savedmodels")
    for name, case in cases.items():
        export_pair(case.parts, folder / name, "savedmodel")
        np.save(folder / name / "images.npy", case.images)
    run_elsewhere(_SCRIPT, *(folder / name for name in cases), folder=folder)
    return {name: load_npz(folder / name / "out.npz") for name in cases}


def test_tensorflow_alone_gives_our_outputs(loaded, case):
    arrays = loaded[case.name]
    features, n = arrays["0"], len(case.images)
    _, height, width, _ = case.images.shape
    codes = []
    for pool, channels in zip(range(1, case.pair.block), (64, 128), strict=False):
        rows = arrays[str(pool)]
        # As the collection documents it: (B·H·W·16, 4), (B·H·W·8, 4), …
        assert rows.shape == (n * height * width * 32 // 2**pool, 4)
        assert rows.dtype == np.int64
        scale = 2 ** (pool - 1)
        shape = (n, height // scale, width // scale, channels)
        codes.append(coordinates_to_codes(rows, shape))
    assert_same(case, features, codes, arrays["decoded"], arrays["whole"])


# The usage example of the collection's block 5, with paths in place of addresses.
_EXAMPLE = """
import sys
encoder_path, decoder_path, image_path = sys.argv[1:]
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

# Load encoder and decoder
encoder = hub.KerasLayer(encoder_path) # this model
decoder = hub.KerasLayer(decoder_path) # external model

# Read image from disk and add batch size
image_file = tf.io.read_file(image_path)
image_uint8 = tf.image.decode_image(image_file)
image_float32 = tf.cast(image_uint8, tf.float32)
image_batch = tf.expand_dims(image_float32, axis=0)

# Encode and decode the image
[image_features, b1_indices, b2_indices, b3_indices, b4_indices] = encoder(image_batch)
image_decoded = decoder([image_features, b1_indices, b2_indices, b3_indices, b4_indices])

reconstruction_loss = np.abs((image_decoded - image_batch).numpy()).mean()
print(reconstruction_loss)
trainable = hub.KerasLayer(decoder_path, trainable=True)
assert len(trainable.trainable_variables) == 28, trainable.trainable_variables
"""  # noqa: E501


def test_the_usage_example_of_the_collection_runs_unchanged(tmp_path):
    for package in ("tensorflow_hub", "tf_keras"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"hub.KerasLayer needs {package}")
    pair = make_pair(tmp_path, 5)
    export_pair(PairParts.of(pair), tmp_path / "pair", "savedmodel")
    photo = real_photo(64, 96)[:1]
    Image.fromarray(photo[0].astype(np.uint8)).save(tmp_path / "photo.png")
    models = (tmp_path / "pair" / name for name in ("encoder", "decoder"))
    printed = run_elsewhere(_EXAMPLE, *models, tmp_path / "photo.png", folder=tmp_path)
    ours = np.abs(pair.decode(*pair.encode(photo)) - photo).mean()
    assert float(printed) == pytest.approx(float(ours), abs=0.01)
