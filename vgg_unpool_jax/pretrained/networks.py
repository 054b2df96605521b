"""Weights of AlexNet and VGG16, torchvision's and others."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.io.paths import cache_folder, local_path
from vgg_unpool_jax.nets.alexnet import ALEXNET_CONVOLUTIONS
from vgg_unpool_jax.nets.vgg16 import VGG16_CONVOLUTIONS
from vgg_unpool_jax.nets.vgg19_layers import (
    PREPROCESSINGS,
    VGG19_CONVOLUTIONS,
    Convolution,
)
from vgg_unpool_jax.pretrained.download import PublicFile, fetch_file
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.load import named_by, open_weights, tell
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch
from vgg_unpool_jax.pretrained.weight_file import (
    Params,
    WeightFile,
    check_network,
    read_layers,
)

_TORCHVISION = "https://download.pytorch.org/models"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and where its weights are.

    Attributes:
      title: its name, for messages.
      convolutions: its layers, first to last.
      variable: environment variable that names a file.
      public: torchvision's file; its name carries the first digits of its SHA-256.
    """

    title: str
    convolutions: Sequence[Convolution]
    variable: str
    public: PublicFile


NETWORKS = {
    "alexnet": Network(
        "AlexNet",
        ALEXNET_CONVOLUTIONS,
        "ALEXNET_WEIGHTS",
        PublicFile("alexnet-owt-7be5be79.pth", _TORCHVISION, "sha256:7be5be79"),
    ),
    "vgg16": Network(
        "VGG16",
        VGG16_CONVOLUTIONS,
        "VGG16_WEIGHTS",
        PublicFile("vgg16-397923af.pth", _TORCHVISION, "sha256:397923af"),
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkWeights:
    """Parameters of the convolutions of a network.

    Attributes:
      params: layer name -> {"kernel": float32 (h, w, in, out), "bias": float32 (out,)}.
      preprocessing: "torchvision" or "caffe", see `pretrained.vgg19.VGG19Weights`.
      origin: such as "torchvision:alexnet-owt-7be5be79.pth".
      sha256: hexadecimal SHA-256 of the file that they were first read from.
    """

    params: Params
    preprocessing: str
    origin: str
    sha256: str

    def note(self) -> dict[str, str]:
        """The facts that a copy records, and by which a run knows its weights."""
        names = ("preprocessing", "origin", "sha256")
        return {name: getattr(self, name) for name in names}


def load_network_weights(
    network: str,
    path: str | os.PathLike | None = None,
    *,
    cache_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> NetworkWeights:
    """Load the convolutions of AlexNet or VGG16.

    Reads torchvision's `.pth` (which needs PyTorch), `.safetensors`, `.npz`, and Keras
    files of VGG16, whose preprocessing is "caffe". A `.safetensors` or `.npz` file that
    does not record another preprocessing has torchvision's.

    Args:
      network: a key of `NETWORKS`.
      path: a weight file. None takes the file that the environment variable
        ALEXNET_WEIGHTS or VGG16_WEIGHTS names, else torchvision's file in the cache,
        else a download of it (AlexNet 244 MB, VGG16 553 MB), both hash-checked.
      cache_dir: see `io.paths.cache_folder`.
      download: False to stay off the network.
    """
    facts = NETWORKS[network]
    path = path or named_by(facts.variable)
    if path is None:
        if download:  # checked before it
            import_torch(f"torchvision's {facts.public.name}")
        path = fetch_file(
            facts.public,
            what=f"{facts.title} weights",
            variable=facts.variable,
            cache_dir=cache_dir,
            download=download,
        )
    path = local_path(path)
    with open_weights(path, facts.convolutions) as file:
        weights = _read(file, facts)
    tell(f"{facts.title} weights", str(path), weights.sha256)
    return weights


def network_files(
    network: str, path: str | os.PathLike | None = None
) -> list[pathlib.Path]:
    """The files that `load_network_weights` may read; they need not exist."""
    facts = NETWORKS[network]
    named = path or os.environ.get(facts.variable)
    return [local_path(named) if named else cache_folder() / facts.public.name]


def random_network_weights(network: str, seed: int = 0) -> NetworkWeights:
    """Draw untrained weights for tests, with He's variance and zero biases."""
    generator = np.random.default_rng(seed)
    params = {}
    for layer in NETWORKS[network].convolutions:
        kernel = generator.standard_normal(layer.shape("kernel"), dtype=np.float32)
        kernel *= np.float32(math.sqrt(2 / (layer.size**2 * layer.inputs)))
        bias = np.zeros(layer.shape("bias"), np.float32)
        params[layer.name] = {"kernel": kernel, "bias": bias}
    origin = f"random:{network},seed={seed}"
    return NetworkWeights(params, "torchvision", origin, "0" * 64)


def _read(file: WeightFile, network: Network) -> NetworkWeights:
    layers = network.convolutions
    # The first layers of VGG16 are also those of VGG19, and have the same shapes.
    others = {layer.name for layer in VGG19_CONVOLUTIONS} - {x.name for x in layers}
    for name in file.names:
        if others & set(name.replace(".", "/").split("/")):
            raise WeightsError(
                f"{file.path} has {name}, so it is of VGG19, expected {network.title}"
            )
    check_network(file, layers, layers, network.title)
    preprocessing = file.note.get("preprocessing", "torchvision")
    if preprocessing not in PREPROCESSINGS:
        raise WeightsError(
            f"{file.path} has the preprocessing {preprocessing!r} in its metadata, "
            f"expected one of {', '.join(PREPROCESSINGS)}"
        )
    origin, sha256 = _origin(file)
    return NetworkWeights(read_layers(file, layers), preprocessing, origin, sha256)


def _origin(file: WeightFile) -> tuple[str, str]:
    known = [file.note.get(name) for name in ("origin", "sha256")]
    if all(isinstance(fact, str) and fact.isprintable() for fact in known):
        return tuple(known)
    digest = file_digest(file.path, "sha256")
    return f"{file.format}:{file.path.name}", digest


def require_torchvision(weights: NetworkWeights, what: str) -> Mapping:
    """Their parameters; refuses weights that a metric was not made with.

    Args:
      weights: of the metric's network.
      what: the metric, for the message.
    """
    if weights.preprocessing != "torchvision":
        raise WeightsError(
            f"{what} is defined with torchvision's weights, and {weights.origin} has "
            f"the preprocessing {weights.preprocessing!r}: name torchvision's file"
        )
    return weights.params
