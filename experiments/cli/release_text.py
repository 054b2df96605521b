"""Entries of an index of released models as text."""

from collections.abc import Iterable, Mapping
from typing import Any

from vgg_unpool_jax.evaluation.metrics import METRICS
from vgg_unpool_jax.evaluation.statistics import LEAST_PHOTOS, TOO_FEW
from vgg_unpool_jax.evaluation.tables import aligned_table
from vgg_unpool_jax.releases.index import Entry, locate


def entry_table(entries: Iterable[Entry]) -> str:
    """One line per entry under a line of headings."""
    rows = [("name", "L1", "PSNR", "size", "licence", "where")]
    for entry in entries:
        metrics, size = entry.facts.get("metrics", {}), entry.facts.get("size")
        means = [
            f"{metrics[key]['mean']:.{METRICS[key].decimals}f}"
            if key in metrics
            else "-"
            for key in ("l1", "psnr")
        ]
        size = f"{size / 1e6:.2f} MB" if size else "-"
        licence = entry.facts.get("licence") or "-"
        rows.append((entry.name, *means, size, licence, locate(entry)[1]))
    return aligned_table(rows)


def entry_details(entry: Entry) -> str:
    """All that an index says of a model, one line per fact."""
    path, where = locate(entry)
    facts = {"where": f"{path} ({where})" if path else where, "sha256": entry.sha256}
    rows = [("name", entry.name)]
    for key, value in (facts | entry.facts).items():
        if isinstance(value, Mapping):
            rows += [(f"{key} {part}", _text(known)) for part, known in value.items()]
        else:
            rows.append((key, _text(value)))
    return aligned_table(rows)


def _text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "-" if value is None else str(value)
    text = f"{value['mean']:#.4g}"
    if value.get("photos", LEAST_PHOTOS) < LEAST_PHOTOS:
        text += f" ({TOO_FEW} for an interval)"
    elif value.get("interval"):
        low, high = value["interval"]
        text += f" ({low:#.4g} to {high:#.4g})"
    return text
