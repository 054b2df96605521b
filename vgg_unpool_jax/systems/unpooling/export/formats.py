"""One folder per format, with the facts for its users in `metadata.json`.

| key | value |
|---|---|
| `format_version` | 1 |
| `format` | one of `FORMATS` |
| `block`, `size_multiple` | height and width must be multiples of the latter |
| `made_with` | versions of this package, jax and other packages that wrote the files |
| `details` | facts of a format, such as ONNX' opset |
| `decoder` | metadata of the released decoder; see `releases.file` |
| `licence` | of the decoder and of the VGG19 weights |
| `files` | path in the folder -> size in bytes and SHA-256 |
"""

import importlib.metadata
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io.atomic import new_folder
from vgg_unpool_jax.nets.vgg19_layers import size_multiple
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.releases.file import write
from vgg_unpool_jax.systems.unpooling.export.optional import import_tensorflow
from vgg_unpool_jax.systems.unpooling.export.parts import PairParts
from vgg_unpool_jax.version import __version__

METADATA_FILE = "metadata.json"
FORMAT_VERSION = 1

_VGG19_LICENCES = {
    "caffe": "CC BY 4.0, Visual Geometry Group, University of Oxford",
    "torchvision": "terms of torchvision's pretrained models",
}


def export_pair(
    parts: PairParts,
    folder: str | os.PathLike,
    format: str,
    *,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Write a pair into a folder for other programs.

    Args:
      parts: of the pair.
      folder: of the result; it must not exist, or be empty.
      format: one of `FORMATS`.
      dtype: of the decoder's parameters, "float16" and "int8" for "safetensors" only.

    Returns:
      The content of `metadata.json`.
    """
    if format not in _WRITERS:
        raise UserError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if dtype != "float32" and format != "safetensors":
        raise UserError(f"{format} is written in float32 only, got dtype {dtype!r}")
    upsampling = parts.decoder.upsampling
    if format in _GRAPHS and upsampling != "unpool":
        raise UserError(
            f"{format} is for decoders that unpool, and this one has the upsampling "
            f"{upsampling!r}: use safetensors or orbax"
        )
    metadata = {
        "format_version": FORMAT_VERSION,
        "format": format,
        "block": parts.block,
        "size_multiple": size_multiple(parts.block),
        "made_with": _versions("jax", "jaxlib"),
        "details": {},
        "decoder": dict(parts.metadata),
        "licence": _licences(parts),
    }
    with new_folder(folder) as aside:
        _WRITERS[format](parts, aside, metadata, dtype)
        metadata["files"] = {
            path.relative_to(aside).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_digest(path, "sha256"),
            }
            for path in sorted(aside.rglob("*"))
            if path.is_file()
        }
        text = json.dumps(metadata, indent=2, ensure_ascii=False)
        (aside / METADATA_FILE).write_text(f"{text}\n", encoding="utf-8")
    return metadata


def _savedmodel(parts, folder, metadata, dtype):
    import_tensorflow("writing SavedModels")
    from vgg_unpool_jax.systems.unpooling.export import tensorflow_models

    tensorflow_models.save_models(parts, folder)
    metadata["made_with"] |= _versions("tensorflow", "tensorflow_cpu")


def _stablehlo(parts, folder, metadata, dtype):
    from vgg_unpool_jax.systems.unpooling.export import stablehlo

    metadata["details"] |= stablehlo.save_models(parts, folder)


def _onnx(parts, folder, metadata, dtype):
    from vgg_unpool_jax.systems.unpooling.export import onnx_graphs

    facts = json.dumps(metadata["decoder"], ensure_ascii=False)
    metadata["details"] |= onnx_graphs.save_models(parts, folder, facts)
    metadata["made_with"] |= _versions("onnx")


def _safetensors(parts, folder, metadata, dtype):
    known = parts.metadata
    fields = ("config", "step", "pretrained", "facts")
    kept = {field: known[field] for field in fields}
    write(folder / "decoder.safetensors", parts.variables, dtype=dtype, **kept)
    save_safetensors(parts.weights, folder / "encoder.safetensors")
    metadata["details"]["dtype"] = dtype


def _orbax(parts, folder: pathlib.Path, metadata, dtype):
    import orbax.checkpoint as ocp

    tree = parts.tree()
    with ocp.StandardCheckpointer() as checkpointer:
        for name, part in tree.items():
            checkpointer.save(folder.absolute() / name, part)
            checkpointer.wait_until_finished()
    metadata["made_with"] |= _versions("orbax-checkpoint")


_Writer = Callable[[PairParts, pathlib.Path, dict[str, Any], str], None]
_WRITERS: dict[str, _Writer] = {
    "savedmodel": _savedmodel,
    "stablehlo": _stablehlo,
    "onnx": _onnx,
    "safetensors": _safetensors,
    "orbax": _orbax,
}
FORMATS = tuple(_WRITERS)
# Those that hold the computation and not the arrays alone.
_GRAPHS = ("savedmodel", "stablehlo", "onnx")


def _licences(parts: PairParts) -> dict[str, str]:
    vgg19 = _VGG19_LICENCES[parts.weights.preprocessing]
    if parts.weights.origin.startswith("random"):
        vgg19 = "none, these are random numbers"
    return {
        "decoder": parts.metadata["facts"].get("licence", "not stated"),
        "vgg19": vgg19,
    }


def _versions(*packages: str) -> dict[str, str]:
    found = {"vgg_unpool_jax": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # TensorFlow goes by several names
    return found
