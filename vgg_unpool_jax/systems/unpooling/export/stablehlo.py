"""The pair as `jax.export` artifacts: StableHLO with symbolic batch, height and width.

`ops.pooling` needs concrete sizes for its windows. This module does not use sizes, so
that they can stay symbolic; parity with the modules is tested.
"""

from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK
from vgg_unpool_jax.ops.convolution import convolve
from vgg_unpool_jax.ops.pooling_xla import first_maximum
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts

# Lowered for each of them, with one set of weights.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def save_models(parts: PairParts, folder) -> dict[str, Any]:
    """Write `encoder.jax`, `decoder.jax` and `autoencoder.jax`.

    Args:
      parts: of the pair, whose decoder unpools.
      folder: of the files.

    Returns:
      Facts for the metadata: platforms, and the calling convention of `jax.export`.
    """
    # Features have the symbolic sizes h and w, and images a multiple of them, so that
    # other images are refused without a check.
    n, height, width = jax.export.symbolic_shape("n, h, w")

    def struct(pool: int, channels: int, dtype=jnp.float32):
        scale = 2 ** (parts.block - 1 - pool)
        return jax.ShapeDtypeStruct((n, height * scale, width * scale, channels), dtype)

    images = struct(0, 3)
    features = struct(parts.block - 1, CHANNELS_PER_BLOCK[parts.block - 1])
    switches = tuple(
        struct(pool, CHANNELS_PER_BLOCK[pool - 1], jnp.uint8)
        for pool in range(1, parts.block)
    )

    def encode(images):
        return _encode(parts, images)

    def decode(features, switches):
        return _decode(parts, features, switches)

    def reconstruct(images):
        return decode(*encode(images))

    functions = {
        "encoder": (encode, (images,)),
        "decoder": (decode, (features, switches)),
        "autoencoder": (reconstruct, (images,)),
    }
    facts = {"platforms": PLATFORMS}
    for name, (function, arguments) in functions.items():
        exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
        with open(f"{folder}/{name}.jax", "wb") as file:
            file.write(exported.serialize())
        facts["calling_convention_version"] = exported.calling_convention_version
    return facts


def _encode(parts: PairParts, images):
    outputs = preprocess(images, parts.weights.preprocessing)
    switches, previous = [], 1
    for layer in parts.encoder_layers:
        if layer.block != previous:
            outputs, codes = _pool(outputs)
            switches.append(codes)
            previous = layer.block
        arrays = parts.weights.params[layer.name]
        outputs = _convolve(outputs, arrays, relu=True)
    return outputs, tuple(switches)


def _decode(parts: PairParts, features, switches):
    layers, previous, rms = parts.decoder_layers, parts.block, parts.feature_rms
    outputs = features if rms is None else features / rms
    for layer in layers:
        if layer.block != previous:
            outputs = _unpool(outputs, switches[layer.block - 1])
            previous = layer.block
        arrays = parts.variables["params"][layer.name]
        outputs = _convolve(outputs, arrays, relu=layer is not layers[-1])
    return outputs * np.float32(parts.decoder.output_scale)


def _convolve(images, arrays, relu: bool):
    # By name: the default is that of the machine which exports.
    return convolve(
        images, arrays["kernel"], arrays["bias"], relu=relu, implementation="xla"
    )


def _pool(images):
    n, height, width, channels = images.shape
    windows = images.reshape(n, height // 2, 2, width // 2, 2, channels)
    quarters = [windows[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]
    return first_maximum(quarters, jnp.uint8)


def _unpool(values, codes):
    n, height, width, channels = values.shape
    elements = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    windows = jnp.where(
        codes[:, :, None, :, None] == elements, values[:, :, None, :, None], 0.0
    )
    return windows.reshape(n, 2 * height, 2 * width, channels)
