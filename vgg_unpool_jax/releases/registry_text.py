"""What registries say, for people to read."""

from collections.abc import Mapping

from vgg_unpool_jax.releases.model_card import TITLES
from vgg_unpool_jax.releases.registry import Registry, Release, find_file

_HEAD = ("name", "block", "L1", "PSNR", "size", "licence", "where")


def table(releases: Mapping[str, tuple[Release, Registry]]) -> str:
    """One line a decoder, under a line of headings.

    Args:
      releases: as `known_releases` gives them.
    """
    rows = [_HEAD]
    for name, (release, registry) in releases.items():
        row = [name, str(release.block), _mean(release, "l1"), _mean(release, "psnr")]
        size = "-" if release.size is None else f"{release.size / 1e6:.2f} MB"
        where = find_file(release, registry)[1]
        rows.append((*row, size, release.licence or "-", where))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def details(release: Release, registry: Registry) -> str:
    """All that is known of one decoder."""
    path, where = find_file(release, registry)
    facts = {
        "name": release.name,
        "block": release.block,
        "where": f"{path} ({where})" if path else where,
        "registry": registry.place,
        "sha256": release.sha256,
        "bytes": release.size and f"{release.size:,}",
        "parameters": release.dtype,
        "training steps": release.step and f"{release.step:,}",
        "licence": release.licence,
        "VGG19": release.vgg19.get("origin"),
        "VGG19 sha256": release.vgg19.get("sha256"),
        "evaluated on": _evaluated_on(release),
    }
    known = [key for key in TITLES if key in release.metrics]
    for key in [*known, *sorted(release.metrics.keys() - TITLES.keys())]:
        summary = release.metrics[key]
        between = ""
        if summary.get("interval"):
            low, high = summary["interval"]
            between = f" ({low:#.4g} to {high:#.4g})"
        facts[TITLES.get(key, key)] = f"{summary['mean']:#.4g}{between}"
    width = max(map(len, facts))
    return "\n".join(
        f"{key.ljust(width)}  {'-' if value is None else value}"
        for key, value in facts.items()
    )


def _mean(release: Release, key: str) -> str:
    summary = release.metrics.get(key)
    return "-" if summary is None else f"{summary['mean']:.3f}"


def _evaluated_on(release: Release) -> str | None:
    told = release.evaluated_on
    parts = [str(told[k]) for k in ("source", "crop", "image_size") if k in told]
    photos = {summary.get("photos") for summary in release.metrics.values()}
    parts += [f"{max(photos)} photos"] if photos and None not in photos else []
    return ", ".join(parts) or None
