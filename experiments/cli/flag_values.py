"""Values of flags that no command takes: empty texts, NaN and infinity."""

import math
import sys

from absl import flags

from vgg_unpool_jax.errors import ConfigError, UserError


def parse_flags(arguments: list[str]) -> list[str]:
    """The arguments that are no flags; ends with a sentence on values that cannot be.

    No text may be empty: it is usually a shell variable without a value, and as a path
    it would be the current folder.
    """
    try:
        others = flags.FLAGS(arguments)
        for name in flags.FLAGS:
            flag = flags.FLAGS[name]
            # Fields of a config may be empty; its numbers are checked with the config.
            if flag.present and "." not in name:
                _check_value(name, flag.value)
    except (flags.Error, UserError) as error:
        # A config that cannot be loaded has its traceback in the text.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        text = lines[-1].partition(": ")[2] if len(lines) > 1 else lines[0]
        print(f"error: {text}", file=sys.stderr)
        sys.exit(1)
    return others


def _check_value(name: str, value) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--{name} must be finite, got {value}")
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and not (texts and all(map(str.strip, texts))):
        what = "is empty" if not any(map(str.strip, texts)) else "has an empty entry"
        raise ConfigError(f"--{name} {what}")
