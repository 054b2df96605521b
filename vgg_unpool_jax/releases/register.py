"""Make the registry of a folder of released decoders from its files."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from vgg_unpool_jax.errors import ReleaseError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases.registry import (
    FILE,
    FORMAT_VERSION,
    NAME,
    Release,
    parse_registry,
    read_registry,
)
from vgg_unpool_jax.releases.release_metadata import without_folders
from vgg_unpool_jax.releases.released import SUFFIX, read_decoder

PathLike = str | os.PathLike


def register(
    folder: PathLike,
    *,
    results: Iterable[PathLike] = (),
    planned: Iterable[int] = (),
    elsewhere: Mapping[str, str] | None = None,
    licence: str | None = None,
) -> pathlib.Path:
    """Write the registry of a folder from the released decoders in it.

    What an earlier registry there says is kept for the metrics and licence of a file
    that did not change, and for decoders whose files are not in the folder.

    Args:
      folder: with files such as vgg19-block1.safetensors. As `releasing` leaves it, it
        has result files blockX/results.json as well, which are taken.
      results: more result files, of which each belongs to the file that it was measured
        on, or to the decoder of its block and step.
      planned: blocks of decoders "vgg19-blockX" that are not published yet.
      elsewhere: path of a decoder's file -> the address of the folder from which users
        shall have it.
      licence: of decoders of which neither their facts nor the registry say one.

    Returns:
      The registry's file.
    """
    folder = to_path(folder)
    earlier = read_registry(folder).releases if (folder / FILE).exists() else {}
    releases = {name: entry for name, entry in earlier.items() if entry.address}
    releases |= {name: e for name, e in earlier.items() if e.sha256 is None}
    for block in planned:
        name = f"vgg19-block{block}"
        releases[name] = Release(name, block, f"{name}{SUFFIX}", licence=licence)
    files = {path: "" for path in sorted(folder.glob(f"vgg19-*{SUFFIX}"))}
    files |= {to_path(path): address for path, address in (elsewhere or {}).items()}
    for path, address in files.items():
        new = _entry(path, address, licence)
        old = earlier.get(new.name)
        if old is not None and old.sha256 == new.sha256:
            kept = {"metrics": old.metrics, "evaluated_on": old.evaluated_on}
            if new.licence is None or new.licence == licence:
                kept["licence"] = old.licence or licence
            new = dataclasses.replace(new, **kept)
        releases[new.name] = new
    if not releases:
        raise ReleaseError(f"there is no released decoder vgg19-*{SUFFIX} in {folder}")
    for path in [*sorted(folder.glob("block[1-5]/results.json")), *results]:
        entry = _measured(releases, to_path(path))
        releases[entry.name] = entry
    return _write(folder, releases)


def _entry(path: pathlib.Path, address: str, licence: str | None) -> Release:
    if not NAME.fullmatch(path.stem) or path.suffix != SUFFIX:
        raise ReleaseError(f"{path} has no name such as vgg19-block1{SUFFIX}")
    metadata = read_decoder(path).metadata
    size, sha256 = path.stat().st_size, file_digest(path, "sha256")
    return Release(
        name=path.stem,
        block=metadata["block"],
        file=path.name,
        sha256=sha256,
        size=size,
        address=address,
        licence=metadata["facts"].get("licence") or licence,
        step=metadata["step"],
        dtype=metadata["dtype"],
        vgg19=metadata["vgg19"],
    )


def _measured(releases: Mapping[str, Release], path: pathlib.Path) -> Release:
    """The release that a result file belongs to, with its metrics."""
    results = read_result_file(path)
    try:
        known = results.get("released_decoder", {}).get("sha256")
        block = results["provenance"]["config"]["encoder"]["block"]
        fitting = [
            entry
            for entry in releases.values()
            if entry.sha256 is not None
            and (
                entry.sha256 == known
                if known
                else (entry.block, entry.step) == (block, results["training_steps"])
            )
        ]
        metrics = {
            name: _rounded(summary)
            for name, summary in results["metrics"].items()
            # JSON has no infinity, which is the PSNR of a perfect reconstruction.
            if math.isfinite(float(summary["mean"]))
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"{path} is no result file of an evaluation ({error!r})"
        ) from error
    if len(fitting) != 1:
        what = f"the file with the SHA-256 {known}" if known else f"block {block}"
        raise ReleaseError(
            f"{path} was measured on {what}, and {len(fitting)} decoders of the "
            "registry are that"
        )
    told = {
        key: without_folders(results[key]) if key == "source" else results[key]
        for key in ("source", "crop", "image_size")
        if key in results
    }
    # A run is measured before its parameters are rounded for the file.
    told["of_this_file"] = known is not None or fitting[0].dtype == "float32"
    return dataclasses.replace(fitting[0], metrics=metrics, evaluated_on=told)


def _rounded(summary: Mapping[str, Any]) -> dict[str, Any]:
    interval = [_digits(end) for end in summary.get("interval") or ()]
    return {
        "mean": _digits(summary["mean"]),
        "interval": interval
        if interval and all(map(math.isfinite, interval))
        else None,
        "photos": summary["photos"],
    }


def _digits(number: float) -> float:
    return float(f"{float(number):.6g}")


def read_result_file(path: PathLike) -> dict[str, Any]:
    """The content of a result file of an evaluation."""
    try:
        results = json.loads(to_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReleaseError(f"{path} cannot be read ({first_line(error)})") from error
    if not isinstance(results, dict):
        raise ReleaseError(f"{path} is no result file of an evaluation")
    return results


def _write(folder: pathlib.Path, releases: Mapping[str, Release]) -> pathlib.Path:
    decoders = {}
    for name in sorted(releases):
        decoders[name] = dataclasses.asdict(releases[name])
        del decoders[name]["name"]
    tree = {"format_version": FORMAT_VERSION, "decoders": decoders}
    content = f"{json.dumps(tree, indent=2, allow_nan=False)}\n".encode()
    path = folder / FILE
    parse_registry(str(folder), str(path), content)  # what is written can be read
    with replacing(path) as file:
        file.write(content)
    return path
