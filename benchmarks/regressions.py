"""What became slower than in an earlier record, by ratios instead of times.

Times of two runs on a shared machine differ by a third. The ratio to a peer that took
turns with ours in the same run, or to a limit measured in the same run, does not.
"""

from collections.abc import Iterator, Mapping

# Ratios of equal programs differ by less between two runs, if their spreads are small.
TOLERANCE = 0.25


def slower(record: Mapping, earlier: Mapping) -> list[str]:
    """A sentence for each row of ours that lost more than its noise.

    Args:
      record: of this run, see `run.run_suites`.
      earlier: of a run with some of the same cases.
    """
    before = dict(_ratios(earlier))
    found = []
    for key, (ratio, spread) in _ratios(record):
        if key not in before:
            continue
        old, old_spread = before[key]
        if ratio < old * (1.0 - max(TOLERANCE, spread, old_spread)):
            suite, case, candidate, other = key
            found.append(
                f"{suite}: {case}: {candidate} has {ratio:.2f} of the speed of "
                f"{other}, in the earlier record {old:.2f}"
            )
    return found


def shared(record: Mapping, earlier: Mapping) -> int:
    """Number of ratios that both records have."""
    return len(dict(_ratios(record)).keys() & dict(_ratios(earlier)).keys())


def _ratios(record: Mapping) -> Iterator[tuple[tuple, tuple[float, float]]]:
    """((suite, case, candidate, what it is compared with), (ratio, spread))."""
    rows = {
        (row["suite"], row["case"], row["candidate"]): row for row in record["rows"]
    }
    for key, row in rows.items():
        if row["peer"]:
            continue
        for peer, ratio in row["ratios"].items():
            spread = rows[*key[:2], peer]["spread"]
            yield (*key, peer), (ratio, max(row["spread"], spread))
        if not row["ratios"] and row.get("fraction_of_limit"):
            yield (*key, "the limit"), (row["fraction_of_limit"], row["spread"])
