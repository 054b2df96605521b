"""The table of the five pairs: what their result files say beside published figures.

Every number is read from a result file or counted from the config in it. What a file
lacks stays empty.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.metrics import METRICS
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.releases.release_metadata import without_folders
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models

# Mean absolute error per channel in [0, 255] on 1,234 COCO test photos, by block.
# Source: the VGG19 unpooling encoder-decoder collection.
PUBLISHED_L1 = {1: 2.494, 2: 3.859, 3: 5.124, 4: 6.104, 5: 6.626}

COLUMNS = (
    "pair",
    "published L1",
    "L1",
    "L1 / published",
    "PSNR",
    "SSIM",
    "MS-SSIM",
    "border / centre",
    "decoder parameters",
    "training photos seen",
    "hardware",
    "hours",
)
_NOT_TRAINED = "not trained yet"
_PREPROCESSING = "vgg19_weights", "preprocessing"


@dataclasses.dataclass(frozen=True)
class PairResults:
    """The results of one pair.

    Attributes:
      block: 1 to 5.
      path: the file that they were read from.
      content: of the file, as `write_evaluation` of this library writes it.
    """

    block: int
    path: str
    content: Mapping[str, Any]


def read_pair_results(path: str | os.PathLike) -> PairResults:
    """Read the result file of a pair.

    Args:
      path: a results.json as `experiments.evaluate` writes it.
    """
    content = json_file.read(path, "a result file")
    system = _get(content, "provenance", "config", "system")
    block = _get(content, "provenance", "config", "encoder", "block")
    mean = _number(_get(content, "metrics", "l1", "mean"))
    known = type(block) is int and block in PUBLISHED_L1
    if system != "unpooling" or not known or mean is None:
        raise ConfigError(
            f"{path} is not the result file of an unpooling pair: it needs the mean L1 "
            "and the config that the evaluate command writes"
        )
    return PairResults(block, str(path), content)


def release_table(results: Iterable[PairResults]) -> str:
    """A Markdown table of the five pairs, and a line for what each was measured on.

    Args:
      results: at most one a block, in any order.

    Returns:
      The table, blocks 1 to 5, those without results as "not trained yet"; an empty
      line; the source of the published figures; one line a file. No newline at the
      end.
    """
    by_block: dict[int, PairResults] = {}
    for entry in results:
        if entry.block in by_block:
            raise ConfigError(
                f"{by_block[entry.block].path} and {entry.path} are both of block "
                f"{entry.block}: name one of them"
            )
        by_block[entry.block] = entry
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(_row(block, by_block.get(block))) for block in PUBLISHED_L1]
    lines += [
        "",
        "Published: the VGG19 unpooling encoder-decoder collection, 1,234 COCO test "
        "photos. L1 with the 95 % interval of its mean.",
        *(_measured_on(by_block[block]) for block in sorted(by_block)),
    ]
    return "\n".join(lines)


def count_decoder_parameters(content: Mapping[str, Any]) -> int | None:
    """Number of a decoder's parameters, counted by the module of its config.

    Args:
      content: of a result file.

    Returns:
      The number; None if the file does not say what to count, or describes a decoder
      that this version of the library does not have.
    """
    config = _get(content, "provenance", "config")
    preprocessing = _get(content, *_PREPROCESSING)
    if not isinstance(_get(config, "decoder"), Mapping) or preprocessing is None:
        return None
    try:
        encoder, decoder = make_pair_models(
            ml_collections.ConfigDict(config), preprocessing
        )
        shapes = jax.eval_shape(lambda: _init_decoder(encoder, decoder))
    # Flax answers a field of the wrong type with whatever its use in the module raises.
    except Exception:
        return None
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def _init_decoder(encoder: VGG19Encoder, decoder) -> Any:
    """Traced for its shapes alone, so that no array is ever made."""
    key = jax.random.key(0)
    # The smallest image that every block halves to whole pixels.
    images = jnp.zeros((1, 32, 32, 3))
    (features, named), _ = encoder.init_with_output(key, images)
    return decoder.init(key, features, named["switches"])["params"]


def _get(content: Any, *path: str) -> Any:
    """What stands at a path of keys; None where there is nothing."""
    for key in path:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content


def _number(value: Any) -> float | None:
    """A number of a result file, where infinity and NaN are words."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):
        return None


def _format(value: Any, form: str) -> str:
    number = _number(value)
    return "" if number is None else format(number, form)


def _row(block: int, results: PairResults | None) -> list[str]:
    published = PUBLISHED_L1[block]
    cells = [f"block{block}_conv2", f"{published:.3f}"]
    if results is None:
        return [*cells, _NOT_TRAINED, *[""] * (len(COLUMNS) - 3)]
    content = results.content
    l1 = _number(_get(content, "metrics", "l1", "mean"))
    psnr = _metric(content, "psnr")
    parameters = count_decoder_parameters(content)
    return [
        *cells,
        _metric(content, "l1") + _interval(content),
        f"{l1 / published:.3f}",
        f"{psnr} dB" if psnr else "",
        _metric(content, "ssim"),
        _metric(content, "ms_ssim"),
        _format(_get(content, "border_ratio"), ".3f"),
        "" if parameters is None else f"{parameters:,}",
        _photos_seen(content),
        _hardware(content),
        # Zero is an account that nobody kept.
        _format(_get(content, "training_hours") or None, ".1f"),
    ]


def _metric(content: Mapping[str, Any], name: str) -> str:
    mean = _get(content, "metrics", name, "mean")
    return _format(mean, f".{METRICS[name].decimals}f")


def _interval(content: Mapping[str, Any]) -> str:
    interval = _get(content, "metrics", "l1", "interval")
    if not isinstance(interval, list) or len(interval) != 2:
        return ""
    low, high = (_format(value, ".3f") for value in interval)
    return f" ({low} to {high})"


def _photos_seen(content: Mapping[str, Any]) -> str:
    steps = _number(_get(content, "training_steps"))
    batch = _number(_get(content, "provenance", "config", "data", "batch_size"))
    if steps is None or batch is None:
        return ""
    # Those of the run that it began from are in another file.
    begun = _get(content, "provenance", "config", "initialize_from")
    begun = begun or _get(content, "provenance", "config", "initialize_shared_from")
    return f"{steps * batch:,.0f}" + (
        f" after {_without_folders(begun)}" if begun else ""
    )


def _hardware(content: Mapping[str, Any]) -> str:
    """Of the training if it is recorded, else of the evaluation, and says so."""
    trained_on = _get(content, "training_hardware")
    if trained_on:
        return _describe(trained_on)
    described = _describe(_get(content, "provenance", "hardware"))
    return f"{described} (of the evaluation)" if described else ""


def _describe(hardware: Any) -> str:
    if not isinstance(hardware, Mapping):
        return "" if hardware is None else str(hardware)
    count, kind = hardware.get("device_count"), hardware.get("device_kind")
    if hardware.get("platform") == "cpu":
        count, kind = hardware.get("cpu_cores"), hardware.get("cpu_model")
        kind = f"{kind} cores" if kind else None
    if not kind:
        return ""
    return f"{count} × {kind}" if count else str(kind)


def _without_folders(value: Any) -> str:
    return without_folders(value) if isinstance(value, str) else str(value)


def _measured_on(results: PairResults) -> str:
    content = results.content
    size = _format(_get(content, "image_size"), ".0f")
    parts = [
        f"{_format(_get(content, 'metrics', 'l1', 'photos'), ',.0f')} photos",
        _without_folders(_get(content, "source") or ""),
        f"crop {_get(content, 'crop') or ''} {size}² pixels" if size else "",
    ]
    return f"block{results.block}_conv2: {', '.join(filter(None, parts))}."


def _line(cells: Iterable[str]) -> str:
    # A bar in a path or a name would end its cell.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
