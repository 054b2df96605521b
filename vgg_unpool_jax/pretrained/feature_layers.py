"""Layers of pretrained networks: what is inverted, and what compares images.

| network | layers | weights |
|---|---|---|
| `alexnet` | conv1 to conv5, pool1, pool2, pool5 | torchvision's |
| `vgg19` | block1_conv1 to block5_conv2 | Keras' or torchvision's |

Convolutions with their ReLU. AlexNet is torchvision's network of one tower, not the
CaffeNet of the DeePSiM paper, whose weights have another layout.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from vgg_unpool_jax.errors import ConfigError, WeightsMismatchError
from vgg_unpool_jax.nets.alexnet import (
    ALEXNET_CONVOLUTIONS,
    ALEXNET_LAYERS,
    AlexNet,
    layers_up_to,
)
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import (
    VGG19_CONVOLUTIONS,
    convolutions_up_to,
    size_multiple,
)
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.networks import (
    NetworkWeights,
    load_network_weights,
    random_network_weights,
)
from vgg_unpool_jax.pretrained.recorded import (
    RANDOM_ORIGIN,
    has_layers,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import (
    VGG19Weights,
    arrays_sha256,
    random_vgg19_weights,
)

ALEXNET, VGG19 = "alexnet", "vgg19"
_ALEXNET_STRIDES = dict(zip(ALEXNET_LAYERS, (4, 8, 8, 16, 16, 16, 16, 32), strict=True))
_VGG19_LAYERS = {layer.name: layer for layer in convolutions_up_to(5)}

Weights = NetworkWeights | VGG19Weights


@dataclasses.dataclass(frozen=True)
class FeatureLayer:
    """A layer of a pretrained network.

    Attributes:
      network: "alexnet" or "vgg19".
      layer: its name there.
      preprocessing: of the weights.
    """

    network: str
    layer: str
    preprocessing: str = "torchvision"

    def __post_init__(self):
        known = {ALEXNET: ALEXNET_LAYERS, VGG19: tuple(_VGG19_LAYERS)}
        if self.network not in known:
            raise ConfigError(
                f"a network must be one of {', '.join(known)}, got {self.network!r}"
            )
        if self.layer not in known[self.network]:
            raise ConfigError(
                f"a layer of {self.network} must be one of "
                f"{', '.join(known[self.network])}, got {self.layer!r}"
            )

    @property
    def stride(self) -> int:
        """Pixels per position, a power of two."""
        if self.network == ALEXNET:
            return _ALEXNET_STRIDES[self.layer]
        return 2 ** (_VGG19_LAYERS[self.layer].block - 1)

    @property
    def block(self) -> int:
        """The block of VGG19 up to whose second convolution weights are needed."""
        found = _VGG19_LAYERS[self.layer]
        names = [layer.name for layer in convolutions_up_to(found.block)]
        return found.block + (self.layer not in names)

    @property
    def convolutions(self):
        """The convolutions up to this layer."""
        if self.network == ALEXNET:
            names = layers_up_to(ALEXNET_LAYERS, self.layer)
            return [x for x in ALEXNET_CONVOLUTIONS if x.name in names]
        names = list(_VGG19_LAYERS)
        return VGG19_CONVOLUTIONS[: names.index(self.layer) + 1]

    @property
    def multiple(self) -> int:
        """Sides of images must be multiples of this."""
        return 1 if self.network == ALEXNET else size_multiple(self.block)

    def default_size(self, cells: tuple[int, int]) -> tuple[int, int]:
        """Height and width of images with features of this size."""
        # AlexNet has one position less than a multiple of its stride would give.
        missing = int(self.network == ALEXNET)
        height, width = ((side + missing) * self.stride for side in cells)
        return height, width

    def apply(self, params: Mapping[str, Any], images: jax.Array) -> jax.Array:
        """Images (n, h, w, 3) RGB in [0, 255] to features (n, h', w', c)."""
        variables = {"params": params}
        if self.network == ALEXNET:
            net = AlexNet(last=self.layer, preprocessing=self.preprocessing)
            return net.apply(variables, images)[0]
        encoder = VGG19Encoder(self.block, self.preprocessing)
        return encoder.apply(variables, images)[1][self.layer]


def load_weights(
    layer: FeatureLayer,
    path: str | os.PathLike = "",
    recorded: Mapping[str, str] | None = None,
) -> Weights:
    """Load the weights of a network, as far as a layer needs them.

    Args:
      layer: the deepest layer that is needed.
      path: a weight file; "" looks for one, "random" draws them, for tests.
      recorded: what `weights_record` gave when a run began; files with others are
        refused.
    """
    facts = dict(recorded or {})
    was_random = facts.get("origin", "").startswith(RANDOM_ORIGIN)
    is_random = path == RANDOM_ORIGIN or (not path and was_random)
    if layer.network == ALEXNET:
        weights = (
            random_network_weights(ALEXNET)
            if is_random
            else load_network_weights(ALEXNET, path or None)
        )
    elif is_random:
        weights = random_vgg19_weights(block=layer.block)
    else:
        weights = load_vgg19_weights(path or None, block=layer.block)
    fits = facts.get("preprocessing") == weights.preprocessing
    if "layers_sha256" in facts:  # of a release
        fits = fits and has_layers(weights, facts["layers_sha256"], layer.convolutions)
    elif not (is_random and was_random):  # whose digest depends on the last layer
        fits = fits and facts.get("sha256") == weights.sha256
    if facts and not fits:
        raise WeightsMismatchError(
            f"this model was trained with {facts.get('origin')} (SHA-256 "
            f"{facts.get('sha256', '')[:12]}…) for {layer.network}, not with "
            f"{weights.origin} (SHA-256 {weights.sha256[:12]}…): name the right file"
        )
    return weights


def load_layers(
    layers: Sequence[FeatureLayer],
    paths: Mapping[str, str],
    record: Mapping[str, Any] | None = None,
) -> tuple[list[FeatureLayer], dict[str, Weights]]:
    """Load the networks of several layers, each once.

    Args:
      layers: of one or two networks.
      paths: network -> weight file, see `load_weights`.
      record: network -> recorded facts; None for a new run.

    Returns:
      layers: with the preprocessing of their weights.
      weights: by network.
    """
    found = {}
    for network in dict.fromkeys(layer.network for layer in layers):
        deepest = max(
            (layer for layer in layers if layer.network == network),
            key=lambda layer: len(layer.convolutions),
        )
        recorded = (record or {}).get(network)
        found[network] = load_weights(deepest, paths.get(network, ""), recorded)
    layers = [
        dataclasses.replace(x, preprocessing=found[x.network].preprocessing)
        for x in layers
    ]
    return layers, found


def frozen_params(weights: Mapping[str, Weights]) -> dict[str, Any]:
    """Network -> parameters on the device."""
    return {
        network: tree_on_device(dict(found.params))
        for network, found in weights.items()
    }


def released_record(layer: FeatureLayer, weights: Weights) -> dict[str, str]:
    """The facts by which a release recognises the weights of its network."""
    return {
        **weights_record(weights),
        "network": layer.network,
        "layers_sha256": arrays_sha256(weights.params, layers=layer.convolutions),
    }
