"""A loop over files in which one that cannot be used does not stop the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from vgg_unpool_jax.errors import PhotoError

T = TypeVar("T")


def for_each(
    items: Sequence[T],
    work: Callable[[T], str],
    failure: str = "photos could not be read",
) -> None:
    """Work on all items and print a line for each.

    Args:
      items: such as photo files.
      work: item -> what is printed behind its number. A `PhotoError` leaves the item
        out; one that lists all of them is raised at the end.
      failure: what could not be done with them.
    """
    broken = []
    for number, item in enumerate(items, start=1):
        try:
            text = work(item)
        except PhotoError as problem:
            broken.append(str(problem))
            continue
        print(f"[{number}/{len(items)}] {text}", flush=True)
    if broken:
        raise PhotoError(
            f"{len(broken)} of {len(items)} {failure}: {'; '.join(broken)}"
        )


def print_peak_memory() -> None:
    """Print the largest memory so far, of the host and the devices."""
    from vgg_unpool_jax.runtime.memory import peak_memory

    peaks = (f"{where} {size / 2**30:.2f} GiB" for where, size in peak_memory().items())
    print(f"peak memory: {', '.join(peaks)}")
