"""The `config.json` of a model folder: a decoder as the Hugging Face Hub has them.

A model folder holds `model.safetensors`, which is the file of a released decoder, this
`config.json`, and its model card as `README.md`; `model_folder` writes it.

| key | value |
|---|---|
| `model_type` | "vgg_unpool_jax_decoder", which tells it from the config of a run |
| `format_version` | 1 |
| `library_name` | "vgg_unpool_jax" |
| `block`, `dtype`, `vgg19`, `encoder_sha256` | as in `release_metadata` |
| `training_steps` | number of training steps |
| `decoder` | fields of `UnpoolingDecoder` |
| `model` | `file`, `size` in bytes and `sha256` of `model.safetensors` |
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.io.paths import local_path, read_bytes
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases.release_metadata import check_version, read_metadata

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
CARD_FILE = "README.md"
FILES = (MODEL_FILE, CARD_FILE, CONFIG_FILE)
MODEL_TYPE = "vgg_unpool_jax_decoder"
FORMAT_VERSION = 1

_LFS = b"version https://git-lfs"


def render_config(metadata: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Write the config of a model folder.

    Args:
      metadata: of the decoder.
      model: `size` and `sha256` of its file.
    """
    config = {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "library_name": "vgg_unpool_jax",
        "block": metadata["block"],
        "decoder": metadata["config"]["decoder"],
        "training_steps": metadata["step"],
        "dtype": metadata["dtype"],
        "vgg19": metadata["vgg19"],
        "encoder_sha256": metadata["encoder_sha256"],
        "model": {"file": MODEL_FILE, **model},
    }
    return f"{json.dumps(config, indent=2)}\n"


def find_model_file(
    folder: str | os.PathLike, *, is_model: bool = False
) -> pathlib.Path | None:
    """The decoder's file in a model folder, complete and as it was written.

    Args:
      folder: any, on this machine.
      is_model: it must be a model folder; else it may be one.

    Returns:
      The file; None for a folder that is no model folder, such as a workdir.
    """
    folder = local_path(folder)
    path, model = folder / CONFIG_FILE, folder / MODEL_FILE
    try:
        config = json.loads(read_bytes(path).decode("utf-8"))
    except FileNotFoundError as error:
        if not is_model and not model.exists():
            return None
        raise ReleaseError(
            f"{folder} has no {CONFIG_FILE}, so it is no model folder, or half of one"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        if not is_model and not model.exists():
            return None  # of a run, which has sentences of its own
        raise ReleaseError(
            f"{path} cannot be read as JSON ({first_line(error)})"
        ) from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != MODEL_TYPE:
        if not is_model and not model.exists():
            return None
        raise ReleaseError(
            f"{path} says the model type {kind!r}, wanted {MODEL_TYPE!r}: it is no "
            "model folder of vgg_unpool_jax"
        )
    check_version("the contents", path, config, FORMAT_VERSION)
    _check_model(model, path, config)
    return model


def _check_model(model: pathlib.Path, path: pathlib.Path, config: Mapping) -> None:
    known = config.get("model")
    known = known if isinstance(known, dict) else {}
    size, sha256 = known.get("size"), known.get("sha256")
    if not isinstance(size, int) or not isinstance(sha256, str):
        raise ReleaseError(f"{path} does not say which file {MODEL_FILE} is")
    if not model.is_file():
        raise ReleaseError(
            f"{model} is missing: the model folder was not written or downloaded whole"
        )
    with open(model, "rb") as file:
        head = file.read(len(_LFS))
    found = model.stat().st_size
    if head == _LFS:
        raise ReleaseError(
            f"{model} is a pointer of Git LFS and not the file itself: run `git "
            "lfs pull` in its folder"
        )
    if found < size:
        raise ReleaseError(
            f"{model} has {found:,} of {size:,} bytes: it was not downloaded whole"
        )
    digest = file_digest(model, "sha256")
    if digest != sha256:
        raise ReleaseError(
            f"{model} has the SHA-256 {digest}, and {path} says {sha256}: the "
            "files do not belong together, or were changed"
        )
    block = read_metadata(model)["block"]
    if block != config.get("block"):
        raise ReleaseError(
            f"{model} holds a decoder of block {block}, and {path} says block "
            f"{config.get('block')!r}"
        )
