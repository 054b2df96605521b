"""Measure the speed of this library, side by side with torch and TensorFlow.

    python -m benchmarks --suite=SUITE,... [--peers=torch,tensorflow]

Programs take turns, after a check that all give the same result. Suites: ops,
convolution, losses, step, data, reconstruct, checkpoints, stylize, start;
docs/performance.md. --compare=FILE ends with an error if ours lost speed, relative to
the peers, since FILE was written by --output.
"""

import sys

from absl import flags

from benchmarks.harness import DTYPES, LEAST_REPETITIONS, PEERS, SUITES, Settings
from benchmarks.regressions import shared, slower
from benchmarks.run import run_suites
from benchmarks.tables import limits_lines, suite_table
from experiments.cli import command
from vgg_unpool_jax.errors import UserError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.runtime.cpu_devices import device_per_core

_SUITE = flags.DEFINE_list(
    "suite", None, f"Some of {', '.join(SUITES)}, by comma, or all."
)
_PEERS = flags.DEFINE_list("peers", list(PEERS), "Programs to compare with, or none.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for all numbers.")
_COMPARE = flags.DEFINE_string(
    "compare", None, "JSON file of an earlier run: fail where ours became slower."
)
_MARKDOWN = flags.DEFINE_bool("markdown", False, "Print the tables as Markdown.")
_REPETITIONS = flags.DEFINE_integer("repetitions", LEAST_REPETITIONS, "At least 7.")
_SMALL = flags.DEFINE_bool("small", False, "Tiny arrays: tests that it runs, no more.")
_ALL_SHAPES = flags.DEFINE_bool("all_shapes", False, "Also what takes a CPU hours.")
_CASES = flags.DEFINE_string("cases", "", "Regular expression of the cases' names.")
_DTYPES = flags.DEFINE_list("dtypes", list(DTYPES), "Of ops, losses and step.")
_BLOCKS = flags.DEFINE_list("blocks", ["1", "3", "5"], "Of step and checkpoints.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 0, "Of a step; default is 4 on a CPU, 32 elsewhere.", lower_bound=0
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", 0, "Of a step; default is 192 on a CPU, 256 elsewhere.", 0
)
_OURS = flags.DEFINE_list(
    "ours", [], "FIELD=VALUE of the config, each a further candidate of a step."
)
_PHOTOS = flags.DEFINE_string(
    "photos", "", "Folder of JPEGs for the suite data; default is sample photos."
)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.0, "Time box: begin no case later; 0 is no limit.", lower_bound=0.0
)


def main() -> None:
    """Run the command."""
    earlier = json_file.read(_COMPARE.value) if _COMPARE.value else None
    device_per_core(_BATCH_SIZE.value or (1 if _SMALL.value else 4))
    settings = Settings(
        suites=tuple(_SUITE.value),
        peers=() if _PEERS.value == ["none"] else tuple(_PEERS.value),
        repetitions=_REPETITIONS.value,
        small=_SMALL.value,
        all_shapes=_ALL_SHAPES.value,
        cases=_CASES.value,
        dtypes=tuple(_DTYPES.value),
        blocks=tuple(int(b) if b.isdecimal() else b for b in _BLOCKS.value),
        batch_size=_BATCH_SIZE.value,
        image_size=_IMAGE_SIZE.value,
        ours=tuple(_OURS.value),
        photos=_PHOTOS.value,
        seconds=_SECONDS.value,
    )

    def keep(record: dict) -> None:
        if _OUTPUT.value:
            json_file.write(_OUTPUT.value, record)

    record = run_suites(
        settings, lambda line: print(line, file=sys.stderr, flush=True), keep
    )
    keep(record)
    for suite in settings.suites:
        rows = [row for row in record["rows"] if row["suite"] == suite]
        print(f"\n{suite}\n\n{suite_table(rows, markdown=_MARKDOWN.value)}")
    print("\n" + "\n".join(limits_lines(record["limits"])))
    for missing in record["missing_peers"]:
        print(f"the peer {missing['peer']} is missing: {missing['reason']}")
    for entry in record["skipped"]:
        print("left out: {case}: {candidate}: {reason}".format(**entry))
    if earlier is not None:
        _compare(record, earlier)


def _compare(record: dict, earlier: dict) -> None:
    """Print how many ratios were compared; raise `UserError` if some fell."""
    lost, count = slower(record, earlier), shared(record, earlier)
    if not count:
        raise UserError(f"{_COMPARE.value} has no ratio of these cases and peers")
    print(f"{count} ratios compared with {_COMPARE.value}, {len(lost)} of them fell")
    if lost:
        raise UserError("; ".join(lost))


if __name__ == "__main__":
    flags.mark_flags_as_required(["suite"])
    command.run(main)
