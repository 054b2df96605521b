"""Coefficients of LPIPS and DISTS, which weigh the features of a network.

The public files are the authors' packages on PyPI, whose content never changes. Reading
them, and the `.pth` and `.pt` files inside them or in the authors' repositories, needs
PyTorch; `.safetensors` files do not.
"""

import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np
import safetensors.numpy

from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.io.paths import cache_folder, local_path
from vgg_unpool_jax.pretrained.download import PublicFile, fetch_file
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.load import named_by, reading, tell
from vgg_unpool_jax.pretrained.safetensors_file import write_weights
from vgg_unpool_jax.pretrained.torchvision_pth import import_torch

_PYPI = "https://files.pythonhosted.org/packages"
# Channels of the layers that the metrics look at. DISTS has the image itself, too.
LPIPS_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
DISTS_CHANNELS = (3, 64, 128, 256, 512, 512)


@dataclasses.dataclass(frozen=True)
class HeadFile:
    """The public file with the coefficients of a metric.

    Attributes:
      title: of the metric.
      variable: environment variable that names a file.
      public: the authors' package.
    """

    title: str
    variable: str
    public: PublicFile


HEAD_FILES = {
    "lpips": HeadFile(
        "LPIPS",
        "LPIPS_WEIGHTS",
        PublicFile(
            "lpips-0.1.4-py3-none-any.whl",
            f"{_PYPI}/9b/13/"
            "1df50c7925d9d2746702719f40e864f51ed66f307b20ad32392f1ad2bb87",
            "sha256:fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
        ),
    ),
    "dists": HeadFile(
        "DISTS",
        "DISTS_WEIGHTS",
        PublicFile(
            "DISTS_pytorch-0.1-py3-none-any.whl",
            f"{_PYPI}/fa/78/"
            "f76cbe06c88076f6d6d5ef16a7591a7e3b7eb225e39b035e16d95f0fb89c",
            "sha256:73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
        ),
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Heads:
    """Coefficients of a metric.

    Attributes:
      arrays: float32 (channels,) of each layer; for DISTS those of the means (alpha) of
        all layers, then those of the variances (beta).
      origin: name of the file.
      sha256: of the file.
    """

    arrays: tuple[np.ndarray, ...]
    origin: str
    sha256: str


def load_lpips_heads(
    net: str, path: str | os.PathLike | None = None, *, download: bool = True
) -> Heads:
    """Load the linear layers of LPIPS, version 0.1.

    Args:
      net: "alex" or "vgg".
      path: the package `lpips` as a wheel, its `weights/v0.1/NET.pth`, or a
        `.safetensors` file with `NET/lin0` to `NET/lin4`. None takes the file that the
        environment variable LPIPS_WEIGHTS names, else the wheel in the cache, else a
        download of it (54 kB), both hash-checked.
      download: False to stay off the network.
    """
    if net not in LPIPS_CHANNELS:
        raise ValueError(f"net must be one of {', '.join(LPIPS_CHANNELS)}, got {net!r}")
    channels = LPIPS_CHANNELS[net]

    def pick(arrays, path):
        names = [(f"{net}/lin{k}", f"lin{k}.model.1.weight") for k in range(5)]
        return tuple(
            _take(arrays, path, either, count)
            for either, count in zip(names, channels, strict=True)
        )

    return _load("lpips", path, download, f"lpips/weights/v0.1/{net}.pth", pick)


def load_dists_heads(
    path: str | os.PathLike | None = None, *, download: bool = True
) -> Heads:
    """Load the coefficients of DISTS.

    Args:
      path: the package `DISTS_pytorch` as a wheel, its `weights.pt`, or a
        `.safetensors` file with `alpha` and `beta`. None takes the file that the
        environment variable DISTS_WEIGHTS names, else the wheel in the cache, else a
        download of it (21 kB), both hash-checked.
      download: False to stay off the network.
    """
    ends = np.cumsum(DISTS_CHANNELS)

    def pick(arrays, path):
        return tuple(
            part
            for name in ("alpha", "beta")
            for part in np.split(_take(arrays, path, (name,), ends[-1]), ends[:-1])
        )

    return _load("dists", path, download, "DISTS_pytorch/weights.pt", pick)


def save_heads(
    metric: str, path: str | os.PathLike, source: str | os.PathLike | None = None
) -> list[str]:
    """Write the coefficients of a metric as a `.safetensors` file.

    Args:
      metric: a key of `HEAD_FILES`; of LPIPS, those of all networks.
      path: the file to write, ending in `.safetensors`.
      source: the file to read; None for the order of `load_lpips_heads`.

    Returns:
      Names of the arrays in the file.
    """
    if pathlib.PurePath(path).suffix != ".safetensors":
        raise WeightsError(f"the weight file must end in .safetensors, got {path}")
    if metric == "dists":
        halves = np.split(np.concatenate(load_dists_heads(source).arrays), 2)
        arrays = dict(zip(("alpha", "beta"), halves, strict=True))
    else:
        arrays = {
            f"{net}/lin{k}": array
            for net in LPIPS_CHANNELS
            for k, array in enumerate(load_lpips_heads(net, source).arrays)
        }
    write_weights(path, safetensors.numpy.save(arrays))
    return list(arrays)


def head_files(
    metric: str, path: str | os.PathLike | None = None
) -> list[pathlib.Path]:
    """The files that a metric's coefficients may be read from; see `HEAD_FILES`."""
    facts = HEAD_FILES[metric]
    named = path or os.environ.get(facts.variable)
    return [local_path(named) if named else cache_folder() / facts.public.name]


def _load(metric: str, path, download: bool, member: str, pick: Callable) -> Heads:
    facts = HEAD_FILES[metric]
    path = path or named_by(facts.variable)
    if path is None:
        path = fetch_file(
            facts.public,
            what=f"coefficients of {facts.title}",
            variable=facts.variable,
            download=download,
        )
    path = local_path(path)
    with reading(path):
        arrays = pick(_read(path, member), path)
    sha256 = file_digest(path)
    tell(f"coefficients of {facts.title}", str(path), sha256)
    return Heads(arrays, path.name, sha256)


def _read(path: pathlib.Path, member: str) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    if content[8:9] == b"{":
        return safetensors.numpy.load(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if member in archive.namelist():
                content = archive.read(member)
    torch = import_torch(f"the PyTorch file {path}")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name: array.detach().numpy() for name, array in state.items()}


def _take(arrays, path, names: tuple[str, ...], count: int) -> np.ndarray:
    name = next((name for name in names if name in arrays), None)
    if name is None:
        raise WeightsError(
            f"{path} has no {' or '.join(names)}, found {', '.join(sorted(arrays)[:4])}"
        )
    values = np.asarray(arrays[name], np.float32).ravel()
    if values.shape != (count,):
        raise WeightsError(
            f"{path}: {name} has {values.size} values, expected {count}, so it is of "
            "another network"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise WeightsError(
            f"{path}: {name} has negative, infinite or NaN values, so it is damaged"
        )
    return values
