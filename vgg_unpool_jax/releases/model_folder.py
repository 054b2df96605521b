"""Write a trained pair as a model folder, as the Hugging Face Hub has them.

`model_config` says what is in it; `load_pair` reads it back.
"""

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases.model_card import TITLES, model_card
from vgg_unpool_jax.releases.model_config import (
    CARD_FILE,
    CONFIG_FILE,
    MODEL_FILE,
    MODEL_TYPE,
    render_config,
)
from vgg_unpool_jax.releases.registry import Release
from vgg_unpool_jax.releases.release_metadata import read_metadata, without_folders

# Those of a result file that the Hub shows beside the card.
_SHOWN = ("l1", "psnr", "ssim", "ms_ssim")


def write_model_folder(
    pair: Any,
    folder: str | os.PathLike,
    *,
    name: str | None = None,
    dtype: str | None = None,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> list[pathlib.Path]:
    """Write `model.safetensors`, `README.md` and `config.json`, in this order.

    A folder whose writing broke off is refused when it is read.

    Args:
      pair: a `Pair`.
      folder: local or gs://; it may hold an earlier model folder, whose files are
        replaced, and no other `config.json`.
      name: of the model, in the card; None is "vgg19-blockX".
      dtype: of the stored parameters, one of `storage.DTYPES`; None is that of the file
        that the pair was loaded from, float32 for a run's.
      results: a result file's content, with `metrics`; see `results_of` for those of a
        registry. None where the decoder was not evaluated.
      licence: of the decoder; None is what its facts say of it, if they do.

    Returns:
      The three files.
    """
    folder = to_path(folder)
    _check_free(folder)
    dtype = dtype or (pair.release or {}).get("dtype", "float32")
    with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as place:
        local = pathlib.Path(place) / MODEL_FILE
        pair.export(local, dtype=dtype)
        content, metadata = local.read_bytes(), read_metadata(local)
        model = {"size": len(content), "sha256": file_digest(local, "sha256")}
    name = name or f"vgg19-block{metadata['block']}"
    licence = licence or metadata["facts"].get("licence")
    calls = ['pair = load_pair("FOLDER")   # this folder, or "hf:OWNER/NAME"']
    card = model_card(metadata, results, name=name, licence=licence, calls=calls)
    header = "\n".join(_header(name, results or {}, licence))
    contents = {
        MODEL_FILE: content,
        CARD_FILE: f"---\n{header}\n---\n\n{card}".encode(),
        CONFIG_FILE: render_config(metadata, model).encode(),
    }
    try:
        for file, data in contents.items():
            with replacing(folder / file) as output:
                output.write(data)
    except OSError as error:
        raise ReleaseError(
            f"the model folder {folder} cannot be written ({first_line(error)})"
        ) from error
    return [folder / file for file in contents]


def results_of(release: Release) -> dict[str, Any] | None:
    """What a registry says of a decoder, as its result file would.

    Returns:
      None where the decoder was not evaluated.
    """
    if not release.metrics:
        return None
    told = dict(release.evaluated_on)
    results = {"metrics": release.metrics, "training_steps": release.step}
    if told.pop("of_this_file", False):
        known = {"file": release.file, "sha256": release.sha256}
        results["released_decoder"] = known
    return results | told


def _check_free(folder: pathlib.Path) -> None:
    path = folder / CONFIG_FILE
    if not path.exists():
        return
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
    except (KeyError, OSError, TypeError, ValueError):
        kind = None
    if kind != MODEL_TYPE:
        raise ReleaseError(
            f"{folder} holds a {CONFIG_FILE} of something else, a training run's or "
            "another model's: take another folder"
        )


def _header(
    name: str, results: Mapping[str, Any], licence: str | None
) -> Iterator[str]:
    """Lines of YAML; its scalars are written as JSON, which is YAML as well."""
    if licence:
        yield f"license: {json.dumps(licence.lower())}"
    yield "library_name: vgg_unpool_jax"
    yield "pipeline_tag: image-to-image"
    yield "tags:"
    for tag in ("jax", "flax", "vgg19", "autoencoder", "max-unpooling"):
        yield f"- {tag}"
    metrics = results.get("metrics", {})
    shown = [key for key in _SHOWN if key in metrics]
    if not shown:
        return
    yield "metrics:"
    yield from (f"- {key}" for key in shown)
    data = json.dumps(without_folders(str(results.get("source", "unknown"))))
    yield "model-index:"
    yield f"- name: {json.dumps(name)}"
    yield "  results:"
    yield "  - task:"
    yield "      type: image-to-image"
    yield "      name: reconstruction of photos"
    yield "    dataset:"
    yield f"      type: {data}"
    yield f"      name: {data}"
    yield "    metrics:"
    for key in shown:
        yield f"    - type: {key}"
        yield f"      name: {json.dumps(TITLES[key], ensure_ascii=False)}"
        yield f"      value: {float(metrics[key]['mean']):.6g}"
