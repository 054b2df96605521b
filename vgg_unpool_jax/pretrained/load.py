"""From a path, or from nothing, to the weights of a VGG19 encoder."""

import contextlib
import functools
import logging
import os
import pathlib
import zipfile
from collections.abc import Iterator, Sequence

from vgg_unpool_jax.errors import WeightsError, first_line
from vgg_unpool_jax.io.paths import cache_folder, local_path
from vgg_unpool_jax.nets.vgg19_layers import (
    PREPROCESSINGS,
    VGG19_CONVOLUTIONS,
    Convolution,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.download import PUBLIC_FILES, fetch
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.keras_h5 import ARCHIVED, open_keras_h5
from vgg_unpool_jax.pretrained.npz_file import open_npz
from vgg_unpool_jax.pretrained.safetensors_file import open_safetensors
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch, open_torchvision_pth
from vgg_unpool_jax.pretrained.vgg19 import NOTE_FIELDS, VGG19Weights, arrays_sha256
from vgg_unpool_jax.pretrained.weight_file import (
    WeightFile,
    check_network,
    present_layers,
    read_layers,
)

WEIGHTS_VARIABLE = "VGG19_WEIGHTS"

_LOG = logging.getLogger(__name__)


def load_vgg19_weights(
    path: str | os.PathLike | None = None,
    *,
    block: int = 5,
    cache_dir: str | os.PathLike | None = None,
    flavour: str = "keras",
    download: bool = True,
) -> VGG19Weights:
    """Load the weights of a VGG19 encoder cut at block`block`_conv2.

    Keras' `.h5` (with or without top) and `.keras`, torchvision's `.pth` and
    `.safetensors` files are recognised by their content. The preprocessing belongs to
    the weights: a Keras file is `"caffe"`, a state dict with torchvision's keys is
    `"torchvision"`. Ports of the Caffe weights under torchvision's keys exist and
    cannot be recognised; for those use `dataclasses.replace(weights,
    preprocessing="caffe")`. Files of `convert_weights` record the preprocessing, the
    origin and the SHA-256 of the weights that they are copies of.

    Args:
      path: a weight file. None takes the file that the environment variable
        VGG19_WEIGHTS names, else the public file in the cache, else a download of it,
        both hash-checked.
      block: 1 to 5; only the layers up to block`block`_conv2 are returned.
      cache_dir: folder for downloads; None for the environment variable
        VGG_UNPOOL_CACHE, else the user's cache folder.
      flavour: the public file to take where none is named, "keras" or "torchvision"
        (other weights; reading them needs PyTorch).
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
    path = path or named_by(WEIGHTS_VARIABLE)
    if path is None:
        if flavour == "torchvision":
            # Checked before the download, which has half a gigabyte.
            import_torch(f"torchvision's {PUBLIC_FILES[flavour].name}")
        path = fetch(flavour, cache_dir=cache_dir, download=download)
    path = local_path(path)
    with open_weights(path, VGG19_CONVOLUTIONS) as file:
        weights = _read_vgg19(file, block)
    tell("VGG19 weights", str(path), weights.sha256)
    return weights


def weight_files(path: str | os.PathLike | None = None) -> list[pathlib.Path]:
    """The files that `load_vgg19_weights` may read; they need not exist."""
    if path is None:
        path = os.environ.get(WEIGHTS_VARIABLE)
    if path:
        return [local_path(path)]
    return [cache_folder() / public.name for public in PUBLIC_FILES.values()]


def named_by(variable: str) -> str | None:
    """The weight file that an environment variable names, if any."""
    path = os.environ.get(variable)
    if path and not local_path(path).is_file():
        raise WeightsError(f"{variable} names {path}, which is no file")
    return path or None


@contextlib.contextmanager
def open_weights(
    path: pathlib.Path, network: Sequence[Convolution]
) -> Iterator[WeightFile]:
    """Open a weight file of any kind, which its content tells.

    Args:
      path: the file.
      network: the layers to look for.

    Yields:
      Its arrays; errors of the libraries that read them become `WeightsError`.
    """
    with reading(path), _open(path, network) as file:
        yield file


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Refuse a path that is no file, and a file that cannot be read."""
    # Pipes and devices are excluded as well: reading them could wait indefinitely.
    if not path.is_file():
        raise WeightsError(f"there is no weight file at {path}")
    try:
        yield
    except WeightsError:
        raise
    # h5py, torch, safetensors and zipfile raise nearly anything for damaged files.
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read, it is damaged or incomplete ({first_line(error)})"
        ) from error


# Once for all pairs of a command, which load it one after the other.
@functools.lru_cache(maxsize=64)
def tell(what: str, path: str, sha256: str) -> None:
    """Log which file is used."""
    _LOG.info("%s: %s (SHA-256 %.12s…)", what, path, sha256)


def _open(
    path: pathlib.Path, network: Sequence[Convolution]
) -> contextlib.AbstractContextManager[WeightFile]:
    with open(path, "rb") as file:
        head = file.read(16)
    # First, because the eight bytes before it are a length: they can be anything.
    if head[8:9] == b"{":
        return open_safetensors(path, network)
    if head.startswith(b"\x89HDF"):
        return open_keras_h5(path, network)
    if head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if ARCHIVED in names:
            return open_keras_h5(path, network, archived=True)
        if names and all(name.endswith(".npy") for name in names):
            return open_npz(path, network)
        return open_torchvision_pth(path, network)
    if head.startswith(b"\x80"):  # a pickle
        return open_torchvision_pth(path, network, zipped=False)
    raise WeightsError(
        f"{path} is no weight file: it begins with {head[:8]!r}, expected a Keras .h5, "
        "a PyTorch .pth or a .safetensors file"
    )


def _read_vgg19(file: WeightFile, block: int) -> VGG19Weights:
    needed = convolutions_up_to(block)
    check_network(file, VGG19_CONVOLUTIONS, needed, "VGG19")
    preprocessing = file.note.get("preprocessing")
    if preprocessing not in PREPROCESSINGS:
        raise WeightsError(
            f"{file.path} has the preprocessing {preprocessing!r} in its metadata, "
            f"expected one of {', '.join(PREPROCESSINGS)}"
        )
    facts = [file.note.get(field) for field in NOTE_FIELDS]
    if not all(isinstance(fact, str) and fact.isprintable() for fact in facts):
        origin = f"{file.format}:{file.path.name}"
        digest = file_digest(file.path, "sha256")
        return VGG19Weights(read_layers(file, needed), preprocessing, origin, digest)
    _, origin, sha256, arrays = facts
    params = read_layers(file, present_layers(file, VGG19_CONVOLUTIONS))
    if arrays_sha256(params) != arrays:
        raise WeightsError(
            f"{file.path} was changed after it was written: its arrays do not have the "
            "SHA-256 in its metadata"
        )
    params = {layer.name: params[layer.name] for layer in needed}
    return VGG19Weights(params, preprocessing, origin, sha256)
