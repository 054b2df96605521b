"""From a path, or from nothing, to the weights of a VGG19 encoder."""

import functools
import os
import pathlib

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.io.paths import local_path
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.pretrained import identity
from vgg_unpool_jax.pretrained.download import PUBLIC_FILES, fetch
from vgg_unpool_jax.pretrained.formats import Format, recognise
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.keras_h5 import read_keras_h5
from vgg_unpool_jax.pretrained.safetensors_file import read_safetensors
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch, read_torchvision_pth
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights

WEIGHTS_VARIABLE = "VGG19_WEIGHTS"


def load_vgg19_weights(
    path: str | os.PathLike | None = None,
    *,
    block: int = 5,
    cache_dir: str | os.PathLike | None = None,
    flavour: str = "keras",
    download: bool = True,
) -> VGG19Weights:
    """Load the weights of a VGG19 encoder cut at block`block`_conv2.

    Keras' `.h5` (with or without top), torchvision's `.pth` and `.safetensors` files
    are told apart by their content. The preprocessing belongs to the weights: a Keras
    file is `"caffe"`, a state dict with torchvision's keys is `"torchvision"`. Ports of
    the Caffe weights under torchvision's keys exist and cannot be told apart; for those
    say `dataclasses.replace(weights, preprocessing="caffe")`. Files that `conversion`
    wrote say themselves what they are.

    Args:
        path: a weight file, local or gs://, taken as it is: its SHA-256 is recorded,
            not checked. None for the file that the environment variable VGG19_WEIGHTS
            names, else the public file in the cache, else a download of it, both
            hash-checked.
        block: 1 to 5; only the layers up to block`block`_conv2 are returned.
        cache_dir: folder for downloads; None for the environment variable
            VGG_UNPOOL_CACHE, else the user's cache folder.
        flavour: which public file to take where none is named, "keras" or
            "torchvision" (other weights; reading them needs PyTorch).
        download: False to stay off the network. VGG_UNPOOL_WEIGHTS_URL in the
            environment is the address of a folder to download from instead.

    Returns:
        Parameters as float32 NumPy arrays, kernels (3, 3, in, out) and biases (out,),
        with their preprocessing, origin and SHA-256.
    """
    convolutions_up_to(block)
    if flavour not in PUBLIC_FILES:
        raise ValueError(
            f"flavour must be one of {tuple(PUBLIC_FILES)}, got {flavour!r}"
        )
    if path is not None:
        return _read(_as_path(path), block)
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        try:
            return _read(_as_path(named), block)
        except WeightsError as error:
            raise WeightsError(
                f"the file that {WEIGHTS_VARIABLE} names cannot be used: {error}"
            ) from error
    if flavour == "torchvision":
        # Asked before the download: the file has half a gigabyte.
        import_torch(f"torchvision's {PUBLIC_FILES[flavour].name}")
    return _read(fetch(flavour, cache_dir=cache_dir, download=download), block)


def _as_path(path: str | os.PathLike) -> pathlib.Path:
    if not os.fspath(path):
        # pathlib would make the current folder of it.
        raise WeightsError("the path of the VGG19 weights is empty, name a file")
    return local_path(path)


def _read(path: pathlib.Path, block: int) -> VGG19Weights:
    kind = recognise(path)
    if kind is Format.SAFETENSORS:
        return read_safetensors(path, block=block)
    if kind is Format.KERAS_H5:
        preprocessing, origin = "caffe", f"keras:{path.name}"
        read = functools.partial(read_keras_h5, path)
    else:
        zipped = kind is Format.TORCH_ZIP
        preprocessing, origin = "torchvision", f"torchvision:{path.name}"
        read = functools.partial(read_torchvision_pth, path, zipped=zipped)
    params = read(block=block)
    copied = identity.identify(path, kind, lambda block: read(block=block))
    if copied is not None:
        return VGG19Weights(params, *copied)
    return VGG19Weights(params, preprocessing, origin, file_digest(path, "sha256"))
