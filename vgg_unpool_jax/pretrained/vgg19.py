"""VGG19 weights with their preprocessing and origin, and random ones."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from vgg_unpool_jax.nets.vgg19_layers import (
    PREPROCESSINGS,
    Convolution,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.weight_file import KINDS

Preprocessing = Literal["caffe", "torchvision"]
# The facts that a converted file records, see `VGG19Weights.note`.
NOTE_FIELDS = ("preprocessing", "origin", "sha256", "arrays_sha256")


@dataclasses.dataclass(frozen=True, eq=False)
class VGG19Weights:
    """Parameters of a VGG19 encoder and the preprocessing that they expect.

    Two readings of the same weights have the same `sha256`; the arrays themselves are
    not compared by `==`.

    Attributes:
      params: layer name -> {"kernel": float32 (3, 3, in, out), "bias": float32
        (out,)}, from block1_conv1 up to blockX_conv2. Kernels are as stored: with
        `"caffe"` the input channels of the first kernel are in the order BGR.
      preprocessing: `"caffe"`: BGR on [0, 255] minus (103.939, 116.779, 123.68), as
        Keras' weights expect it; `"torchvision"`: RGB on [0, 1] minus (0.485, 0.456,
        0.406), divided by (0.229, 0.224, 0.225).
      origin: such as `"keras:NAME.h5"`, `"torchvision:NAME.pth"`,
        `"safetensors:NAME"` or `"random:seed=0"`.
      sha256: hexadecimal SHA-256 of the file that they come from; of the arrays where
        there is no such file.
    """

    params: Mapping[str, Mapping[str, np.ndarray]]
    preprocessing: Preprocessing
    origin: str
    sha256: str

    def __post_init__(self):
        if self.preprocessing not in PREPROCESSINGS:
            raise ValueError(
                f"preprocessing must be one of {PREPROCESSINGS}, "
                f"got {self.preprocessing!r}"
            )

    def note(self) -> dict[str, str]:
        """The facts that a copy records, so that it is recognised as these weights."""
        digest = arrays_sha256(self.params)
        facts = (self.preprocessing, self.origin, self.sha256, digest)
        return dict(zip(NOTE_FIELDS, facts, strict=True))


def arrays_sha256(
    params: Mapping[str, Mapping[str, np.ndarray]],
    block: int = 5,
    layers: Sequence[Convolution] | None = None,
    kinds: Sequence[str] = KINDS,
) -> str:
    """SHA-256 of parameters, the same on every machine.

    Args:
      params: layer name -> {"kernel": (3, 3, in, out), "bias": (out,)}.
      block: layers after blockX_conv2 are left out, 1 to 5.
      layers: those of another network, or a selection of VGG19's.
      kinds: of the arrays, "kernel" and "bias" or one of them.

    Returns:
      The hexadecimal digest over names, shapes and little-endian float32 values, in
      the order of the network's layers.
    """
    digest = hashlib.sha256()
    for layer in layers or convolutions_up_to(block):
        if layer.name not in params:
            continue
        for kind in kinds:
            array = np.ascontiguousarray(params[layer.name][kind], dtype="<f4")
            digest.update(f"{layer.name}/{kind}{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def random_vgg19_weights(
    seed: int = 0, *, block: int = 5, preprocessing: Preprocessing = "caffe"
) -> VGG19Weights:
    """Draw untrained weights for tests and for work without the real file.

    Kernels are normal with variance 2 / (9 · in), so that the mean square of the
    activations stays the same from layer to layer; biases are zero. A layer's values
    depend on the seed only, not on `block`.

    Args:
      seed: seed of NumPy's default generator, at least 0.
      block: the encoder is cut at block`block`_conv2, 1 to 5.
      preprocessing: the encoder's preprocessing of its input.

    Returns:
      Weights with origin `"random:seed=SEED"` and the SHA-256 of the arrays.

    Source:
      He et al. 2015, Delving Deep into Rectifiers, equation 10.
    """
    generator = np.random.default_rng(seed)
    params = {}
    for layer in convolutions_up_to(block):
        kernel = generator.standard_normal(layer.shape("kernel"), dtype=np.float32)
        kernel *= np.float32(math.sqrt(2 / (9 * layer.inputs)))
        bias = np.zeros(layer.shape("bias"), np.float32)
        params[layer.name] = {"kernel": kernel, "bias": bias}
    return VGG19Weights(
        params, preprocessing, f"random:seed={seed}", arrays_sha256(params)
    )
