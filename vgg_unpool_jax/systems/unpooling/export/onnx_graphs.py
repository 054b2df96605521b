"""The pair as ONNX graphs of standard operators.

Images and features are NHWC as everywhere in this package; inside, the graphs are NCHW,
the layout of ONNX. Indices are those of ONNX's `MaxPool` and `MaxUnpool`: (n, c, h',
w') int64 positions in the flattened (n, c, h, w).

The graphs are built operator by operator and not converted: jax2onnx has no rule for
pooling's choice by platform and requires an older orbax than this package.
"""

from typing import Any

import numpy as np

from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK, size_multiple
from vgg_unpool_jax.systems.unpooling.export.optional import import_optional
from vgg_unpool_jax.systems.unpooling.export.parts import (
    PairParts,
    preprocessing_constants,
)

# MaxPool has indices since opset 8, MaxUnpool exists since 9; all runtimes of the last
# years support 13. IR version 8 was introduced with opset 15.
OPSET = 13
IR_VERSION = 8

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


class _Graph:
    """Operators in the order in which they were added."""

    def __init__(self, onnx):
        self._onnx = onnx
        self.nodes, self.constants = [], {}

    def add(self, operator: str, *inputs: str, name: str, outputs: int = 1, **fields):
        """Add an operator; its outputs are called `name`, `name_1` and so on."""
        names = [name, *(f"{name}_{n}" for n in range(1, outputs))]
        node = self._onnx.helper.make_node(operator, inputs, names, name=name, **fields)
        self.nodes.append(node)
        return name if outputs == 1 else names

    def constant(self, name: str, array: Any) -> str:
        """Add an array under a name; adding it again has no effect."""
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def convolve(self, inputs: str, name: str, arrays, relu: bool, prefix: str) -> str:
        """3×3 convolution with zero padding of NCHW images, and optional ReLU."""
        name = f"{prefix}{name}"
        kernel = np.transpose(np.asarray(arrays["kernel"], np.float32), (3, 2, 0, 1))
        weights = self.constant(f"{name}/kernel", kernel)
        bias = self.constant(f"{name}/bias", np.asarray(arrays["bias"], np.float32))
        outputs = self.add(
            "Conv", inputs, weights, bias, name=name, kernel_shape=[3, 3], pads=[1] * 4
        )
        return self.add("Relu", outputs, name=f"{name}/relu") if relu else outputs

    def model(self, name: str, inputs: list, outputs: list, metadata: str):
        """The finished, checked model."""
        helper = self._onnx.helper
        constants = [
            self._onnx.numpy_helper.from_array(array, key)
            for key, array in self.constants.items()
        ]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="vgg_unpool_jax",
        )
        helper.set_model_props(model, {"vgg_unpool_jax": metadata})
        self._onnx.checker.check_model(model, full_check=True)
        return model


def save_models(parts: PairParts, folder, metadata: str) -> dict[str, int]:
    """Write `encoder.onnx`, `decoder.onnx` and `autoencoder.onnx`.

    Args:
      parts: of the pair, whose decoder unpools.
      folder: where they go.
      metadata: a text that goes along as the model property "vgg_unpool_jax".

    Returns:
      Facts for the metadata: opset and IR version.
    """
    onnx = import_optional("onnx", "onnx", "writing ONNX")
    for name, build in (
        ("encoder", _encoder_model),
        ("decoder", _decoder_model),
        ("autoencoder", _autoencoder_model),
    ):
        onnx.save(build(onnx, parts, metadata), f"{folder}/{name}.onnx")
    return {"opset": OPSET, "ir_version": IR_VERSION}


def _encoder_model(onnx, parts, metadata):
    graph = _Graph(onnx)
    features, indices = _encode(graph, parts, "images")
    graph.add("Transpose", features, name="features", perm=_TO_NHWC)
    for pool, index in enumerate(indices, start=1):
        graph.add("Identity", index, name=f"b{pool}_indices")
    outputs = [_features(onnx, parts), *_indices(onnx, parts)]
    return graph.model("encoder", [_images(onnx, "images")], outputs, metadata)


def _decoder_model(onnx, parts, metadata):
    graph = _Graph(onnx)
    features = graph.add("Transpose", "features", name="features_nchw", perm=_TO_NCHW)
    indices = _indices(onnx, parts)
    _decode(graph, parts, features, [index.name for index in indices])
    inputs = [_features(onnx, parts), *indices]
    return graph.model("decoder", inputs, [_images(onnx, "outputs")], metadata)


def _autoencoder_model(onnx, parts, metadata):
    graph = _Graph(onnx)
    _decode(graph, parts, *_encode(graph, parts, "images"))
    sides = ["height", "width"]
    if parts.block > 1:
        sides = [f"cropped_{side}" for side in sides]
    outputs = _float(onnx, "outputs", ["batch", *sides, 3])
    return graph.model("autoencoder", [_images(onnx, "images")], [outputs], metadata)


def _encode(graph: _Graph, parts: PairParts, images: str) -> tuple[str, list[str]]:
    """Features and the names of all indices, NCHW."""
    order, scale, offset = preprocessing_constants(parts.weights.preprocessing)
    scale, offset = (
        np.asarray(v, np.float32).reshape(3, 1, 1) for v in (scale, offset)
    )
    images = _cropped(graph, images, size_multiple(parts.block))
    outputs = graph.add("Transpose", images, name="images_nchw", perm=_TO_NCHW)
    order = graph.constant("order", np.asarray(order, np.int64))
    outputs = graph.add("Gather", outputs, order, name="ordered", axis=1)
    scale, offset = graph.constant("scale", scale), graph.constant("offset", offset)
    outputs = graph.add("Mul", outputs, scale, name="scaled")
    outputs = graph.add("Add", outputs, offset, name="preprocessed")
    indices, previous = [], 1
    for layer in parts.encoder_layers:
        if layer.block != previous:
            outputs, index = graph.add(
                "MaxPool",
                outputs,
                name=f"pool{previous}",
                outputs=2,
                kernel_shape=[2, 2],
                strides=[2, 2],
            )
            indices.append(index)
            previous = layer.block
        arrays = parts.weights.params[layer.name]
        outputs = graph.convolve(outputs, layer.name, arrays, True, "encoder/")
    return outputs, indices


def _cropped(graph: _Graph, images: str, multiple: int) -> str:
    """NHWC images without the rows and columns beyond a multiple.

    `MaxPool` alone would drop them, too, but its indices would count them, and
    `MaxUnpool` would put values in other places or beyond the end.
    """
    if multiple == 1:
        return images
    axes = graph.constant("sides", np.array([1, 2], np.int64))
    factor = graph.constant("multiple", np.array([multiple], np.int64))
    start = graph.constant("start", np.zeros(2, np.int64))
    sides = graph.add("Shape", images, name="images_shape")
    sides = graph.add("Gather", sides, axes, name="images_sides", axis=0)
    sides = graph.add("Div", sides, factor, name="cells")
    sides = graph.add("Mul", sides, factor, name="cropped_sides")
    return graph.add("Slice", images, start, sides, axes, name="cropped")


def _decode(graph: _Graph, parts: PairParts, features: str, indices: list[str]) -> str:
    """Images (n, h, w, 3), called "outputs"."""
    outputs, indices = features, list(indices)
    rms = parts.feature_rms
    if rms is not None:
        rms = graph.constant("feature_rms", rms.astype(np.float32).reshape(-1, 1, 1))
        outputs = graph.add("Div", outputs, rms, name="normalized")
    layers, previous = parts.decoder_layers, parts.block
    for layer in layers:
        if layer.block != previous:
            outputs = graph.add(
                "MaxUnpool",
                outputs,
                indices.pop(),
                name=f"unpool{layer.block}",
                kernel_shape=[2, 2],
                strides=[2, 2],
            )
            previous = layer.block
        arrays = parts.variables["params"][layer.name]
        relu = layer is not layers[-1]
        outputs = graph.convolve(outputs, layer.name, arrays, relu, "decoder/")
    scale = np.float32(parts.decoder.output_scale)
    outputs = graph.add(
        "Mul", outputs, graph.constant("output_scale", scale), name="outputs_nchw"
    )
    return graph.add("Transpose", outputs, name="outputs", perm=_TO_NHWC)


def _images(onnx, name):
    return _float(onnx, name, ["batch", "height", "width", 3])


def _features(onnx, parts):
    channels = CHANNELS_PER_BLOCK[parts.block - 1]
    sides = [f"{side}/{2 ** (parts.block - 1)}" for side in ("height", "width")]
    if parts.block == 1:
        sides = ["height", "width"]
    return _float(onnx, "features", ["batch", *sides, channels])


def _float(onnx, name, shape):
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _indices(onnx, parts):
    return [
        onnx.helper.make_tensor_value_info(
            f"b{pool}_indices",
            onnx.TensorProto.INT64,
            [
                "batch",
                CHANNELS_PER_BLOCK[pool - 1],
                f"height/{2**pool}",
                f"width/{2**pool}",
            ],
        )
        for pool in range(1, parts.block)
    ]
