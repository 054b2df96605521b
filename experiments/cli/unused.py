"""Notes about flags that have no effect beside the others."""

from absl import flags


def note_unused(why: str, *names: str) -> None:
    """Print a note for each of these flags that was given on the command line.

    Args:
      why: they have no effect.
      *names: of flags.
    """
    for name in names:
        if flags.FLAGS[name].present:
            print(f"note: --{name} has no effect: {why}", flush=True)
