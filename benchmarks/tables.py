"""The rows of a suite as text: aligned columns or Markdown."""

from collections.abc import Mapping, Sequence

# Columns beyond those that all suites have: key of a row -> heading, factor, digits.
_FACTS = {
    "switch_bytes": ("bytes a switch", 1, 2),
    "images_per_second": ("images/s", 1, 1),
    "images_per_second_and_core": ("images/s a core", 1, 1),
    "core_seconds": ("s of all cores", 1, 1),
    "import_seconds": ("import s", 1, 1),
    "trace_seconds": ("trace s", 1, 1),
    "compile_seconds": ("compile s", 1, 1),
    "first_seconds": ("first photo s", 1, 1),
    "state_bytes": ("state MB", 1e-6, 1),
    "disk_bytes": ("on disk MB", 1e-6, 1),
    "peak_bytes": ("peak MB", 1e-6, 0),
    "baseline_bytes": ("before MB", 1e-6, 0),
    "device_peak_bytes": ("device peak MB", 1e-6, 0),
}


def suite_table(rows: Sequence[Mapping], *, markdown: bool) -> str:
    """All rows of one suite.

    Args:
      rows: of a `Report`, after `machine.add_shares`.
      markdown: whether to print Markdown, or columns aligned with spaces.

    Returns:
      Lines without a newline at the end. "× torch" is torch's time as a multiple of
      the row's: above 1 the row is the faster one.
    """
    peers = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
    limited = any(row["limit"] for row in rows)
    facts = [key for key in _FACTS if any(key in row for row in rows)]
    heading = ["case", "candidate", "median ms", "spread"]
    heading += [f"× {name}" for name in peers]
    heading += ["of the limit"] if limited else []
    heading += [_FACTS[key][0] for key in facts]
    lines = [heading]
    for row in rows:
        cells = [row["case"], row["candidate"], _number(1e3 * row["median_seconds"])]
        cells.append(f"{row['spread']:.0%}")
        for name in peers:
            ratio = row["ratios"].get(name)
            cells.append("" if ratio is None else f"{ratio:.2f}")
        if limited:
            share = row.get("fraction_of_limit")
            cells.append("" if share is None else f"{share:.1%}")
        for key in facts:
            _, factor, digits = _FACTS[key]
            value = row.get(key)
            cells.append("" if value is None else f"{factor * value:.{digits}f}")
        lines.append(cells)
    return _markdown(lines) if markdown else _aligned(lines)


def _number(value: float) -> str:
    """Three digits that count, without an exponent."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", "---", *["---:"] * (len(lines[0]) - 2)]
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in [lines[0], rule, *lines[1:]]
    )


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    )


def limits_lines(limits: Mapping) -> list[str]:
    """The limits of the machine, one a line."""
    bandwidth = limits["copy_bandwidth_bytes_per_second"]
    lines = [f"copy bandwidth {bandwidth / 1e9:.1f} GB/s (read + written)"]
    for dtype, rate in limits["matmul_flops_per_second"].items():
        lines.append(f"matrix product {dtype} {rate / 1e9:.1f} GFLOP/s")
    return lines
