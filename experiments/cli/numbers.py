"""Numbers in the values of flags."""

import math
from collections.abc import Sequence

from vgg_unpool_jax.errors import ConfigError


def parse_number(text: str, name: str) -> float:
    """A finite number from a text; `ConfigError` with its name for another text."""
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigError(f"a {name} must be a number, got {text}") from error
    if not math.isfinite(number):
        raise ConfigError(f"a {name} must be finite, got {text}")
    return number


def parse_numbers(texts: Sequence[str], kind: type, flag: str) -> list:
    """Finite numbers of the type `kind`; `ConfigError` with the flag for others."""
    try:
        numbers = [kind(text) for text in texts]
    except ValueError as error:
        raise ConfigError(
            f"{flag} must be numbers between commas, got {','.join(texts)}"
        ) from error
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{flag} must be finite, got {','.join(texts)}")
    return numbers
