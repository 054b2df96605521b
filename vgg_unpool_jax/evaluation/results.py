"""Result files and tables.

A result file is one JSON object with sorted keys. JSON has no infinity and no NaN:
they are written as the strings "inf", "-inf" and "nan", which `float` reads back.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from vgg_unpool_jax.evaluation.metrics import MetricInfo
from vgg_unpool_jax.evaluation.statistics import Summary, interval_text
from vgg_unpool_jax.evaluation.tables import aligned_table
from vgg_unpool_jax.io import json_file


def _to_json(value: Any, place: str) -> Any:
    """`value` in the types that JSON knows; `place` names it in an error."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}; expected strings.")
        return {key: _to_json(value[key], f"{place}.{key}") for key in value}
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
        return _to_json(value, place)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    raise TypeError(
        f"{place} is a {type(value).__name__}; expected a number, string, list, "
        "mapping, dataclass or array."
    )


def write_results(path: str | os.PathLike, results: Mapping[str, Any]) -> None:
    """Write a result file, aside first and then renamed.

    Args:
      path: the file; missing parent folders are made, a file there is replaced.
      results: mappings, lists, dataclasses (such as `Summary`), ConfigDicts, paths,
        arrays and numbers, nested at will. Infinite values and NaN become strings.
    """
    if not isinstance(results, Mapping):
        raise TypeError(f"results is a {type(results).__name__}; expected a mapping.")
    json_file.write(path, _to_json(results, "results"), sort_keys=True)


def _row(name: str, summary: Summary, info: MetricInfo | None) -> tuple[str, ...]:
    info = info or MetricInfo(name, "", 4)
    interval = interval_text(summary.interval, summary.photos, info.decimals, " .. ")
    mean = f"{summary.mean:.{info.decimals}f}"
    return info.title, info.unit or "-", mean, interval or "-", str(summary.photos)


def format_table(
    metrics: Mapping[str, Summary], infos: Mapping[str, MetricInfo]
) -> str:
    """A plain table for a terminal.

    Args:
      metrics: a summary per metric, as from `statistics.summarize`.
      infos: titles and units. Metrics with one come first, in this order; others follow
        under their own names.

    Returns:
      Aligned lines without a newline at the end: metric, unit, mean, 95 % interval of
      the mean ("too few photos", or "-" where a value is not finite), number of photos.
    """
    names = [name for name in infos if name in metrics]
    names += [name for name in metrics if name not in infos]
    header = ("metric", "unit", "mean", "95 % interval", "photos")
    rows = [header, *(_row(name, metrics[name], infos.get(name)) for name in names)]
    rules = [tuple("-" * max(map(len, c)) for c in zip(*rows, strict=True))]
    return aligned_table([header, *rules, *rows[1:]], right=(2, 3, 4))
