"""Styles and strengths from the texts of flags."""

from collections.abc import Sequence

from experiments.cli.numbers import parse_number
from vgg_unpool_jax.errors import ConfigError, require_list
from vgg_unpool_jax.io.paths import to_path


def parse_styles(
    paths: Sequence[str], masks: Sequence[str] = (), share_texts: Sequence[str] = ()
) -> list:
    """`StyleFile`s with a mask and a share each, or without any."""
    from vgg_unpool_jax.applications.stylization.files import StyleFile

    for name, texts in (("paths", paths), ("masks", masks), ("shares", share_texts)):
        require_list(name, texts)
    shares = [parse_number(text, "style share") for text in share_texts]
    for name, given in (("style masks", masks), ("style shares", shares)):
        if given and len(given) != len(paths):
            raise ConfigError(
                f"{name} must be as many as styles, {len(paths)}, got {len(given)}"
            )
    if any(share <= 0.0 for share in shares):
        raise ConfigError(f"style shares must be positive, got {shares}")
    found = []
    for index, path in enumerate(paths):
        mask = to_path(masks[index]) if masks else None
        style = StyleFile(to_path(path), mask, shares[index] if shares else 1.0)
        if not style.path.exists():
            raise ConfigError(f"there is no style {path}")
        if mask is not None and style.is_saved:
            raise ConfigError(f"{path} contains its regions: give it no mask")
        found.append(style)
    return found


def parse_strengths(entries: Sequence[str]) -> dict[int, float]:
    """Factors by block, from entries such as 4:0.5."""
    require_list("strengths", entries)
    found = {}
    for entry in entries:
        block, _, factor = entry.partition(":")
        if not block.isdigit() or not factor:
            raise ConfigError(f"a strength is BLOCK:FACTOR such as 4:0.5, got {entry}")
        found[int(block)] = parse_number(factor, "strength")
    return found
