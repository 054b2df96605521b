"""Pairs of the published form, built here by TensorFlow and Keras, become ours."""

import importlib.util
import re
import shutil

import numpy as np
import pytest

from tests.systems.unpooling.export.conftest import make_pair, random_images
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.systems.unpooling.export.formats import export_pair
from vgg_unpool_jax.systems.unpooling.export.imported import import_savedmodels
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts
from vgg_unpool_jax.systems.unpooling.export.savedmodel_variables import (
    StoredConvolution,
    orders,
)

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("SavedModels need tensorflow-cpu", allow_module_level=True)

TOLERANCE = 1e-3  # in [0, 255]
_MEAN_BGR = (103.939, 116.779, 123.68)


@pytest.fixture(scope="module")
def tf():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("TF_USE_LEGACY_KERAS", "1")
        return importlib.import_module("tensorflow")


def _pool(tf, images):
    """As anyone would write it: indices over the whole batch, unravelled."""
    pooled, flat = tf.nn.max_pool_with_argmax(
        images, 2, 2, "SAME", include_batch_in_index=True
    )
    shape = tf.shape(images, tf.int64)
    return pooled, tf.transpose(tf.unravel_index(tf.reshape(flat, [-1]), shape))


def _unpool(tf, values, rows):
    shape = tf.shape(values, tf.int64) * [1, 2, 2, 1]
    image = tf.scatter_nd(rows, tf.reshape(values, [-1]), shape)
    return tf.ensure_shape(image, [None, None, None, values.shape[3]])


def _convolve(tf, images, kernel, bias, relu=True):
    outputs = tf.nn.conv2d(images, kernel, 1, "SAME") + bias
    return tf.nn.relu(outputs) if relu else outputs


def _save_plain(tf, folder, pair, name_of=lambda layer: layer.name, mean=_MEAN_BGR):
    """As subclassed models: variables under names of the maker's choice."""
    parts = PairParts.of(pair)
    block = parts.block

    class Model(tf.Module):
        def __init__(self, layers, params):
            super().__init__()
            self.held = {}
            for layer in layers:
                arrays = params[layer.name]
                self.held[name_of(layer)] = tf.Module()
                self.held[name_of(layer)].kernel = tf.Variable(arrays["kernel"])
                self.held[name_of(layer)].bias = tf.Variable(arrays["bias"])

        def convolve(self, images, layer, relu=True):
            held = self.held[name_of(layer)]
            return _convolve(tf, images, held.kernel, held.bias, relu)

    class Encoder(Model):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
        def __call__(self, images):
            outputs, indices, previous = images[..., ::-1] - mean, [], 1
            for layer in parts.encoder_layers:
                if layer.block != previous:
                    outputs, rows = _pool(tf, outputs)
                    indices.append(rows)
                    previous = layer.block
                outputs = self.convolve(outputs, layer)
            return [outputs, *indices] if indices else outputs

    class Decoder(Model):
        def decode(self, features, indices):
            outputs, previous = features, block
            for layer in parts.decoder_layers:
                if layer.block != previous:
                    outputs = _unpool(tf, outputs, indices[layer.block - 1])
                    previous = layer.block
                outputs = self.convolve(outputs, layer, layer.inputs != 3)
            return outputs

        @tf.function
        def __call__(self, inputs):
            return self.decode(inputs[0], inputs[1:])

    encoder = Encoder(parts.encoder_layers, parts.weights.params)
    decoder = Decoder(parts.decoder_layers, parts.variables["params"])
    channels = parts.encoder_layers[-1].outputs
    specification = [
        tf.TensorSpec([None, None, None, channels]),
        *[tf.TensorSpec([None, 4], tf.int64) for _ in range(block - 1)],
    ]
    decoder.__call__.get_concrete_function(specification)
    tf.saved_model.save(encoder, f"{folder}/encoder")
    tf.saved_model.save(decoder, f"{folder}/decoder")


def _save_keras(tf, keras, folder, pair, save):
    """As Keras' functional models with layers of its own and lambdas."""
    parts, block = PairParts.of(pair), pair.block

    class Pool(keras.layers.Layer):
        def call(self, images):
            return _pool(tf, images)

    class Unpool(keras.layers.Layer):
        def call(self, inputs):
            return _unpool(tf, *inputs)

    class Preprocess(keras.layers.Layer):
        def call(self, images):
            return images[..., ::-1] - tf.constant(_MEAN_BGR)

    def convolution(layer, filters, arrays, relu=True):
        made = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu" if relu else None
        )
        filled.append((made, arrays))
        return made

    filled = []
    images = keras.Input((None, None, 3))
    outputs, indices, previous = Preprocess()(images), [], 1
    for layer in parts.encoder_layers:
        if layer.block != previous:
            outputs, rows = Pool()(outputs)
            indices.append(rows)
            previous = layer.block
        arrays = parts.weights.params[layer.name]
        outputs = convolution(layer, layer.outputs, arrays)(outputs)
    encoder = keras.Model(images, [outputs, *indices])
    features = keras.Input((None, None, parts.encoder_layers[-1].outputs))
    given = [
        keras.Input(batch_shape=(None, 4), dtype="int64") for _ in range(block - 1)
    ]
    outputs, previous = features, block
    for layer in parts.decoder_layers:
        if layer.block != previous:
            outputs = Unpool()([outputs, given[layer.block - 1]])
            previous = layer.block
        arrays = parts.variables["params"][layer.name]
        relu = layer.inputs != 3
        outputs = convolution(layer, layer.inputs, arrays, relu)(outputs)
    decoder = keras.Model([features, *given], outputs)
    for made, arrays in filled:
        made.set_weights([arrays["kernel"], arrays["bias"]])
    save(encoder, f"{folder}/encoder")
    save(decoder, f"{folder}/decoder")


def _assert_imported(tf, folder, pair):
    """Import what lies in the folder, save it, load it as a pair, and compare."""
    imported = import_savedmodels(folder / "decoder", folder / "encoder")
    imported.save(folder / "ours")
    files = (folder / "ours" / name for name in ("decoder", "encoder"))
    loaded = load_pair(*(f"{file}.safetensors" for file in files))
    images = random_images()
    encoder = tf.saved_model.load(str(folder / "encoder"))
    decoder = tf.saved_model.load(str(folder / "decoder"))
    call = encoder if callable(encoder) else encoder.serve
    encoded = list(call(tf.constant(images)))
    theirs = (decoder if callable(decoder) else decoder.serve)(encoded)
    # Noise has no ties, so that both find the same maxima.
    ours = loaded.decode(*loaded.encode(images))
    assert np.abs(np.asarray(ours) - theirs.numpy()).max() <= TOLERANCE
    assert theirs.numpy().std() > 1
    for layer, arrays in pair.decoder_variables["params"].items():
        np.testing.assert_array_equal(
            loaded.decoder_variables["params"][layer]["kernel"], arrays["kernel"]
        )
    report = (folder / "ours" / "report.txt").read_text()
    assert "preprocessing inside: caffe" in report
    for layer in pair.decoder_variables["params"]:
        assert len(re.findall(f"  {layer}: 3×3×", report)) == 2
    return imported


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Of block 4, plain as the published ones are."""
    return make_pair(tmp_path_factory.mktemp("plain"), 4, plain=True)


@pytest.fixture(scope="module")
def published(tf, pair, tmp_path_factory):
    """The folder with its SavedModels."""
    folder = tmp_path_factory.mktemp("published")
    _save_plain(tf, folder, pair)
    return folder


@pytest.mark.extended
def test_a_pair_of_tensorflow_modules(tf, pair, published):
    imported = _assert_imported(tf, published, pair)
    assert imported.weights.origin == "savedmodel:encoder"
    assert imported.facts["imported"]["decoder"] == "decoder"
    # Mirrored names, of which the last is the first of the decoder: three of its layers
    # have one shape, and only running them tells which is which.
    [line] = [line for line in imported.report if line.startswith("decoder:")]
    assert line == "decoder: decoder, 10 convolutions, against the order of their names"


@pytest.mark.extended
def test_a_pair_of_keras_2(tf, tmp_path):
    keras = pytest.importorskip("tf_keras", reason="Keras 2 is the package tf_keras")
    pair = make_pair(tmp_path, 2, plain=True)
    _save_keras(tf, keras, tmp_path, pair, lambda model, path: model.save(path))
    _assert_imported(tf, tmp_path, pair)


@pytest.mark.extended
def test_a_pair_of_keras_3(tf, tmp_path):
    keras = pytest.importorskip("keras", minversion="3")
    pair = make_pair(tmp_path, 2, plain=True)
    _save_keras(
        tf,
        keras,
        tmp_path,
        pair,
        lambda model, path: model.export(path, verbose=False),
    )
    _assert_imported(tf, tmp_path, pair)


@pytest.mark.extended
def test_our_own_export_comes_back(tf, tmp_path):
    pair = make_pair(tmp_path, 2)
    export_pair(PairParts.of(pair), tmp_path / "out", "savedmodel")
    _assert_imported(tf, tmp_path / "out", pair)


@pytest.mark.extended
def test_a_decoder_alone_takes_weights_from_a_file(pair, published, tmp_path):
    save_safetensors(PairParts.of(pair).weights, tmp_path / "vgg19.safetensors")
    imported = import_savedmodels(
        published / "decoder", weights=tmp_path / "vgg19.safetensors"
    )
    assert imported.block == 4
    assert imported.weights.origin == "random:seed=3"


def test_what_is_no_savedmodel_is_refused_in_a_sentence(published, tmp_path):
    with pytest.raises(UserError, match="is not a SavedModel"):
        import_savedmodels(tmp_path, published / "encoder")
    with pytest.raises(UserError, match="unpack it first"):
        import_savedmodels(tmp_path / "decoder.tar.gz")
    with pytest.raises(UserError, match="not both"):
        import_savedmodels(published / "decoder", published / "encoder", weights="f")


def test_damaged_variables_are_refused(published, tmp_path):
    shutil.copytree(published / "decoder", tmp_path / "decoder")
    index = tmp_path / "decoder/variables/variables.index"
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(UserError, match="missing, damaged or incomplete"):
        import_savedmodels(tmp_path / "decoder", published / "encoder")


def test_another_preprocessing_is_refused(tf, tmp_path):
    pair = make_pair(tmp_path, 1, plain=True)
    _save_plain(tf, tmp_path, pair, mean=(103.9, 126.8, 123.7))
    with pytest.raises(UserError, match="gives other features"):
        import_savedmodels(tmp_path / "decoder", tmp_path / "encoder")


# --- order --------------------------------------------------------------------------


def _stored(name, inputs, outputs):
    kernel = np.zeros((3, 3, inputs, outputs), np.float32)
    return StoredConvolution(f"{name}/kernel", f"{name}/bias", kernel, kernel[0, 0, 0])


def test_layers_of_one_shape_are_tried_both_ways_round():
    stored = [_stored("c1", 4, 3), _stored("c2", 4, 4), _stored("c3", 4, 4)]
    found = [
        [c.kernel_name for c in chosen]
        for _, chosen in orders(stored, [(4, 4), (4, 4), (4, 3)])
    ]
    assert found == [
        ["c2/kernel", "c3/kernel", "c1/kernel"],
        ["c3/kernel", "c2/kernel", "c1/kernel"],
    ]
