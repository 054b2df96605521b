"""Candidates must give the same result: checked before any of them is timed."""

from collections.abc import Mapping

import numpy as np


class MismatchError(Exception):
    """A candidate gives other numbers than ours: its time means nothing."""


def require_equal(
    case: str,
    name: str,
    came: Mapping[str, np.ndarray],
    wanted: Mapping[str, np.ndarray],
) -> None:
    """Raise `MismatchError` unless all arrays of a candidate equal ours.

    Args:
      case: what is computed.
      name: the candidate.
      came: its arrays by name.
      wanted: ours by the same names.
    """
    for key, array in wanted.items():
        other = came[key]
        if other.shape != array.shape:
            raise MismatchError(
                f"{case}: {name} gives {key} of shape {other.shape}, ours {array.shape}"
            )
        different = other != array
        if different.any():
            raise MismatchError(
                f"{case}: {int(different.sum())} of {array.size} elements of {key} "
                f"differ between {name} and ours, the first is "
                f"{other[different][0]} where ours is {array[different][0]}"
            )


def require_close(
    case: str,
    name: str,
    came: Mapping[str, np.ndarray | float],
    wanted: Mapping[str, np.ndarray | float],
    tolerance: float,
) -> float:
    """Raise `MismatchError` unless a candidate's numbers are close to ours.

    Args:
      case: what is computed.
      name: the candidate.
      came: its numbers or arrays by name.
      wanted: ours by the same names.
      tolerance: largest norm of the difference as a share of the norm of ours.

    Returns:
      The largest share that was met.
    """
    largest = 0.0
    for key, value in wanted.items():
        if key not in came:
            raise MismatchError(f"{case}: {name} gives no {key}, and ours does")
        ours, other = np.asarray(value, np.float64), np.asarray(came[key], np.float64)
        if ours.shape != other.shape:
            raise MismatchError(
                f"{case}: {name} gives {key} of shape {other.shape}, ours {ours.shape}"
            )
        norm = np.linalg.norm(ours)
        error = np.linalg.norm(other - ours)
        share = float(error / norm) if norm > 0 else float(error)
        if not share <= tolerance:  # also for NaN
            raise MismatchError(
                f"{case}: {key} of {name} differs from ours by {share:.2g} of its "
                f"norm, and at most {tolerance:g} is rounding"
            )
        largest = max(largest, share)
    return largest
