"""The command line that repeats what was done on the page."""

import shlex
from collections.abc import Mapping


def command_line(command: str, flags: Mapping[str, object]) -> str:
    """A command of `launch.sh`.

    Args:
      command: its name.
      flags: without dashes; "" is a flag alone, None and False are left out, lists are
        joined by commas.
    """
    parts = ["./launch.sh", command]
    for name, value in flags.items():
        if value is None or value is False:
            continue
        if isinstance(value, list | tuple):
            value = ",".join(map(str, value))
        elif isinstance(value, float):
            value = f"{value:g}"
        text = f"--{name}" if value is True or value == "" else f"--{name}={value}"
        parts.append(shlex.quote(text))
    return " ".join(parts)
