"""The table of the five pairs: their results beside the published figures.

Every number is read from a result file or counted from the config in it; missing facts
leave their cell empty.
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.metrics import METRICS
from vgg_unpool_jax.evaluation.statistics import interval_text
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.releases.file import without_folders
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.training.stages import examples_seen

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


def read_pair_results(path: str | os.PathLike) -> dict[str, Any]:
    """The content of the result file of a pair, which `evaluate` writes."""
    content = json_file.read(path, "a result file")
    system = _get(content, "provenance", "config", "system")
    block = _block(content)
    mean = _number(_get(content, "metrics", "l1", "mean"))
    known = type(block) is int and block in PUBLISHED_L1
    if system != "unpooling" or not known or mean is None:
        raise ConfigError(
            f"{path} is not the result file of an unpooling pair: it needs the mean L1 "
            "and the config that the evaluate command writes"
        )
    return content


def release_table(results: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table of the five pairs, and a line on the photos of each.

    Args:
      results: as `read_pair_results` returns them, at most one per block, in any order.

    Returns:
      The table, blocks 1 to 5, those without results as "not trained yet"; an empty
      line; the source of the published figures; one line per file. No newline at the
      end.
    """
    by_block: dict[int, Mapping[str, Any]] = {}
    for content in results:
        block = _block(content)
        if block in by_block:
            raise ConfigError(f"two result files are of block {block}: name one")
        by_block[block] = content
    rows = [_row(block, by_block.get(block)) for block in PUBLISHED_L1]
    lines = [
        markdown_table([COLUMNS, *rows]),
        "",
        "Published: the VGG19 unpooling encoder-decoder collection, 1,234 COCO test "
        "photos. L1 with the 95 % interval of its mean.",
        *(_measured_on(block, by_block[block]) for block in sorted(by_block)),
    ]
    return "\n".join(lines)


def count_decoder_parameters(content: Mapping[str, Any]) -> int | None:
    """Number of parameters of the decoder that was evaluated.

    Args:
      content: of a result file.

    Returns:
      The number; None if the file has no config of a decoder of this version.
    """
    section = _get(content, "provenance", "config", "decoder")
    try:
        shapes = decoder_shapes(_block(content), section)
    except ConfigError:
        return None
    return sum(math.prod(s) for name, s in shapes.items() if name.startswith("params/"))


def _block(content: Mapping[str, Any]) -> Any:
    return _get(content, "provenance", "config", "encoder", "block")


def _get(content: Any, *path: str) -> Any:
    """The value at a path of keys, or None."""
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


def _row(block: int, content: Mapping[str, Any] | None) -> list[str]:
    published = PUBLISHED_L1[block]
    cells = [f"block{block}_conv2", f"{published:.3f}"]
    if content is None:
        return [*cells, _NOT_TRAINED, *[""] * (len(COLUMNS) - 3)]
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
        # Zero hours were not recorded.
        _format(_get(content, "training_hours") or None, ".1f"),
    ]


def _metric(content: Mapping[str, Any], name: str) -> str:
    mean = _get(content, "metrics", name, "mean")
    return _format(mean, f".{METRICS[name].decimals}f")


def _interval(content: Mapping[str, Any]) -> str:
    interval = _get(content, "metrics", "l1", "interval")
    photos = _number(_get(content, "metrics", "l1", "photos"))
    usable = isinstance(interval, list) and len(interval) == 2
    if not usable or None in map(_number, interval):
        interval = None
    text = interval_text(interval, photos, METRICS["l1"].decimals)
    return f" ({text})" if text else ""


def _photos_seen(content: Mapping[str, Any]) -> str:
    steps = _number(_get(content, "training_steps"))
    config = _get(content, "provenance", "config")
    batch = _number(_get(config, "data", "batch_size"))
    if steps is None or batch is None:
        return ""
    seen = steps * batch
    if _get(config, "data", "stages"):
        total = _number(_get(config, "num_steps")) or steps
        data = ml_collections.ConfigDict(config["data"])
        seen = examples_seen(data, int(steps), int(total))
    # Photos of the run that this one was initialised from are not counted.
    begun = _get(config, "initialize_from")
    begun = begun or _get(config, "initialize_shared_from")
    return f"{seen:,.0f}" + (f" after {_without_folders(begun)}" if begun else "")


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


def _measured_on(block: int, content: Mapping[str, Any]) -> str:
    size = _format(_get(content, "image_size"), ".0f")
    parts = [
        f"{_format(_get(content, 'metrics', 'l1', 'photos'), ',.0f')} photos",
        _without_folders(_get(content, "source") or ""),
        f"crop {_get(content, 'crop') or ''} {size}² pixels" if size else "",
    ]
    return f"block{block}_conv2: {', '.join(filter(None, parts))}."
