"""Named changes to a config, joined by commas in its name."""

from collections.abc import Callable, Mapping

import ml_collections


def apply_variants(
    config: ml_collections.ConfigDict,
    variant: str,
    apply: Mapping[str, Callable[[ml_collections.ConfigDict], None]],
) -> ml_collections.ConfigDict:
    """Change a config.

    Args:
      config: to change.
      variant: names joined by commas; "" changes nothing.
      apply: what each name does, in the order in which they are applied, whatever
        the order of the names.

    Returns:
      The config.
    """
    names = [name for name in variant.split(",") if name]
    for name in names:
        if name not in apply:
            raise ValueError(
                f"the variant must be one of {', '.join(apply)}, got {name!r}"
            )
    for name, change in apply.items():
        if name in names:
            change(config)
    return config
