"""Take the scores of `evaluate_style` into the documents.

    python -m results.style REPORT/results.json --about=TEXT --hardware=TEXT

Rows are means over the pairs, in the order of the report.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from results import __main__ as documents
from results.blocks import ROOT

_BLOCKS = ("1", "2", "3", "4")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; None takes the command line of this process."""
    parser = argparse.ArgumentParser(
        "python -m results.style",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--about", required=True, help="photos and models")
    parser.add_argument("--hardware", required=True)
    options = parser.parse_args(arguments)
    methods = {}
    for score in json.loads(options.report.read_text())["scores"]:
        methods.setdefault(score["method"], []).append(score)
    rows = [_row(method, scores) for method, scores in methods.items()]
    found = {"about": options.about, "hardware": options.hardware, "rows": rows}
    path = ROOT / "results" / "stylization.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    documents.write()
    return 0


def _row(method: str, scores: list[dict]) -> dict:
    def mean(values):
        known = [value for value in values if value is not None]
        return round(float(np.mean(known)), 4) if known else None

    def taken(kind, blocks=_BLOCKS):
        parts = [score[kind] for score in scores if score[kind] is not None]
        return mean([float(part[b]["covariance"]) for part in parts for b in blocks])

    numbers = (
        *("edge_ssim", "sobel_ssim", "lab_distance", "lab_distance_by_region"),
        *("histogram_correlation", "lpips"),
    )
    return {
        "method": method,
        **{name: mean([score[name] for score in scores]) for name in numbers},
        "style_whole": taken("whole"),
        "style_by_region": taken("regions"),
        "by_block": [taken("regions", (block,)) for block in _BLOCKS],
    }


if __name__ == "__main__":
    sys.exit(main())
