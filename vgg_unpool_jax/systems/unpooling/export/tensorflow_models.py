"""The pair as TensorFlow objects, in the form of the published VGG19 unpooling pairs.

An encoder takes RGB images (B, H, W, 3) float32 in [0, 255] and returns
`[features, b1_indices, …]`, a decoder takes that list and returns images. Indices are
int64 rows (photo, y, x, channel) for `tf.scatter_nd`, one per pooled value in row-major
order. At block 1, which has no pooling, features are an array instead of a list.

Nothing here is lowered from JAX: graphs of ordinary TensorFlow operations on ordinary
variables load in any TensorFlow 2, on any device, and can be trained on.

This module imports TensorFlow; others import it when they need it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK, size_multiple
from vgg_unpool_jax.systems.unpooling.export.parts import (
    PairParts,
    preprocessing_constants,
)


class _Convolution(tf.Module):
    """3×3 convolution with zero padding and optional ReLU."""

    def __init__(self, name: str, arrays: Mapping[str, Any], relu: bool):
        super().__init__(name=name)
        with self.name_scope:
            self.kernel = tf.Variable(np.asarray(arrays["kernel"]), name="kernel")
            self.bias = tf.Variable(np.asarray(arrays["bias"]), name="bias")
        self._relu = relu

    def __call__(self, images):
        outputs = tf.nn.conv2d(images, self.kernel, strides=1, padding="SAME")
        outputs = tf.nn.bias_add(outputs, self.bias)
        return tf.nn.relu(outputs) if self._relu else outputs


class _Reusable(tf.train.Checkpoint):
    """The attributes that `hub.KerasLayer` needs in a SavedModel.

    A `tf.Module` does not have them: its `variables` is a property, which is not saved.
    """

    def __init__(self, variables: Sequence[tf.Variable]):
        super().__init__()
        self.variables = list(variables)
        self.trainable_variables = [v for v in variables if v.trainable]
        self.regularization_losses = []


class EncoderModel(_Reusable):
    """VGG19 up to blockX_conv2 with the coordinates of every maximum."""

    def __init__(self, parts: PairParts):
        """Make variables of the parts' arrays."""
        layers = {
            layer.name: _Convolution(layer.name, parts.weights.params[layer.name], True)
            for layer in parts.encoder_layers
        }
        super().__init__([v for c in layers.values() for v in (c.kernel, c.bias)])
        self.layers = layers
        self._plan = [(layer.name, layer.block) for layer in parts.encoder_layers]
        self._multiple = size_multiple(parts.block)
        self._constants = preprocessing_constants(parts.weights.preprocessing)

    @tf.function
    def __call__(self, images, training=False):
        """(B, H, W, 3) RGB in [0, 255] to features and indices."""
        del training  # as Keras' models have it; nothing here differs in training
        outputs, indices = self.encode(images)
        return [outputs, *indices] if indices else outputs

    def encode(self, images):
        """Features, and the list of indices."""
        sides = tf.shape(images)[1:3]
        tf.debugging.assert_equal(
            sides % self._multiple,
            tf.zeros_like(sides),
            f"height and width must be multiples of {self._multiple}",
        )
        order, scale, offset = self._constants
        outputs = tf.gather(images, order, axis=3) * scale + offset
        indices, previous = [], 1
        for name, block in self._plan:
            if block != previous:
                outputs, coordinates = _pool(outputs)
                indices.append(coordinates)
                previous = block
            outputs = self.layers[name](outputs)
        return outputs, indices


class DecoderModel(_Reusable):
    """The mirror of the encoder."""

    def __init__(self, parts: PairParts):
        """Make variables of the parts' arrays."""
        params = parts.variables["params"]
        *inner, last = (layer.name for layer in parts.decoder_layers)
        layers = {name: _Convolution(name, params[name], True) for name in inner}
        layers[last] = _Convolution(last, params[last], False)
        variables = [v for c in layers.values() for v in (c.kernel, c.bias)]
        # Variables as well, so that a checkpoint of them is the whole decoder. Training
        # leaves them alone, as ours does.
        rms = parts.feature_rms
        rms = np.ones(CHANNELS_PER_BLOCK[parts.block - 1], "f") if rms is None else rms
        feature_rms = tf.Variable(rms, trainable=False, name="feature_rms")
        output_scale = tf.Variable(
            np.float32(parts.decoder.output_scale), trainable=False, name="output_scale"
        )
        super().__init__([*variables, feature_rms, output_scale])
        self.layers, self.feature_rms = layers, feature_rms
        self.output_scale = output_scale
        self._plan = [(layer.name, layer.block) for layer in parts.decoder_layers]

    @tf.function
    def __call__(self, inputs, training=False):
        """Features and indices to (B, H, W, 3), not clipped."""
        del training
        features, *indices = inputs if isinstance(inputs, list) else [inputs]
        return self.decode(features, indices)

    def decode(self, features, indices):
        """The same of features and the list of indices."""
        outputs, indices = features / self.feature_rms, list(indices)
        previous = self._plan[0][1]
        for name, block in self._plan:
            if block != previous:
                outputs = _unpool(outputs, indices.pop())
                previous = block
            outputs = self.layers[name](outputs)
        return outputs * self.output_scale


class AutoencoderModel(_Reusable):
    """Both in one: images to images."""

    def __init__(self, encoder: EncoderModel, decoder: DecoderModel):
        """Take their variables along."""
        super().__init__([*encoder.variables, *decoder.variables])
        self.encoder, self.decoder = encoder, decoder

    @tf.function
    def __call__(self, images, training=False):
        """(B, H, W, 3) RGB in [0, 255] to the same, not clipped."""
        del training
        return self.decoder.decode(*self.encoder.encode(images))


def save_models(parts: PairParts, folder) -> None:
    """Write `encoder`, `decoder` and `autoencoder` as SavedModels.

    Args:
      parts: of the pair.
      folder: where the three folders go.
    """
    images = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
    channels = CHANNELS_PER_BLOCK[parts.block - 1]
    features = tf.TensorSpec([None, None, None, channels], tf.float32, "features")
    indices = [
        tf.TensorSpec([None, 4], tf.int64, f"b{pool}_indices")
        for pool in range(1, parts.block)
    ]
    encoder, decoder = EncoderModel(parts), DecoderModel(parts)
    models = {
        "encoder": (encoder, images),
        "decoder": (decoder, [features, *indices] if indices else features),
        "autoencoder": (AutoencoderModel(encoder, decoder), images),
    }
    for name, (model, specification) in models.items():
        for training in (False, True):
            model.__call__.get_concrete_function(specification, training)
        signature = _signature(model, specification)
        tf.saved_model.save(model, f"{folder}/{name}", signature)


def _signature(model, specification):
    """The same by names, for servers, which know neither lists nor objects."""
    flat = tf.nest.flatten(specification)

    @tf.function(input_signature=flat)
    def serve(*tensors):
        outputs = model(list(tensors) if len(tensors) > 1 else tensors[0])
        if not isinstance(outputs, list):
            return {"outputs": outputs}
        names = ["features", *(f"b{n}_indices" for n in range(1, len(outputs)))]
        return dict(zip(names, outputs, strict=True))

    return serve


def _pool(images):
    """2×2 maxima, and the coordinates (photo, y, x, channel) of each as a row."""
    # Without the photo in the index: on a GPU the operation has no gradient with it.
    pooled, flat = tf.nn.max_pool_with_argmax(
        images, ksize=2, strides=2, padding="VALID", output_dtype=tf.int64
    )
    shape, whole = tf.shape(pooled, tf.int64), tf.shape(images, tf.int64)
    photo = tf.reshape(tf.range(shape[0]), [-1, 1, 1, 1])
    width, channels = whole[2], whole[3]
    axes = [
        tf.broadcast_to(photo, shape),
        flat // (width * channels),
        flat // channels % width,
        flat % channels,
    ]
    return pooled, tf.stack([tf.reshape(axis, [-1]) for axis in axes], axis=1)


def _unpool(values, coordinates):
    """Values at their coordinates in an image of twice the sides, zero elsewhere."""
    shape = tf.shape(values, tf.int64) * [1, 2, 2, 1]
    image = tf.scatter_nd(coordinates, tf.reshape(values, [-1]), shape)
    return tf.ensure_shape(image, [None, None, None, values.shape[3]])
