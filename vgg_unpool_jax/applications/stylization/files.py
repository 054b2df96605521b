"""The files of style transfer: photos, their masks, their outputs, and styles."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.data.photo_files import list_photo_files
from vgg_unpool_jax.errors import ConfigError, SourceError
from vgg_unpool_jax.evaluation.pictures import PHOTO_SUFFIXES
from vgg_unpool_jax.io.paths import to_path

PathLike = str | os.PathLike


@dataclasses.dataclass(frozen=True)
class StyleFile:
    """A style as the user names it.

    Attributes:
      path: a photo, or a file of statistics that was saved.
      mask: of the photo; None is one region.
      share: among several styles.
    """

    path: pathlib.Path
    mask: pathlib.Path | None = None
    share: float = 1.0

    @property
    def is_saved(self) -> bool:
        """Whether it is a file of statistics."""
        return self.path.suffix == ".safetensors"


@dataclasses.dataclass(frozen=True)
class ContentFile:
    """A photo to stylise.

    Attributes:
      path: of the photo.
      mask: its segmentation map, or None.
      output: where the result goes.
    """

    path: pathlib.Path
    mask: pathlib.Path | None
    output: pathlib.Path

    @property
    def grid(self) -> pathlib.Path:
        """Where a picture of photo and result side by side goes."""
        return self.output.with_name(f"{self.output.stem}_grid.png")


def read_style_files(
    paths: Sequence[PathLike],
    masks: Sequence[PathLike] | None = None,
    shares: Sequence[float | str] | None = None,
) -> list[StyleFile]:
    """Put styles, their masks and their shares together.

    Args:
      paths: photos, or files of statistics.
      masks: one for each, or None.
      shares: one for each; None is equal shares.
    """
    paths = [to_path(path) for path in paths]
    for what, given in (("style masks", masks), ("style shares", shares)):
        if given and len(given) != len(paths):
            raise ConfigError(
                f"{what} must be as many as styles, {len(paths)}, got {len(given)}"
            )
    styles = []
    for index, path in enumerate(paths):
        if not path.exists():
            raise ConfigError(f"there is no style {path}")
        mask = to_path(masks[index]) if masks else None
        share = number(shares[index], "style share") if shares else 1.0
        if share <= 0.0:
            raise ConfigError(f"a style share must be positive, got {share:g}")
        style = StyleFile(path, mask, share)
        if mask is not None and style.is_saved:
            raise ConfigError(f"{path} has its regions in it: give it no mask")
        styles.append(style)
    return styles


def read_strengths(entries: Sequence[str] | None) -> dict[int, float]:
    """Strengths of levels from texts such as "4:0.5"."""
    strengths = {}
    for entry in entries or ():
        block, _, factor = entry.partition(":")
        if not block.isdigit() or not factor:
            raise ConfigError(f"a strength is BLOCK:FACTOR such as 4:0.5, got {entry}")
        strengths[int(block)] = number(factor, "strength")
    return strengths


def number(text, what: str) -> float:
    """A finite number from a text; `ConfigError` says which it should have been."""
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigError(f"a {what} must be a number, got {text}") from error
    if not np.isfinite(number):
        raise ConfigError(f"a {what} must be finite, got {text}")
    return number


def list_content_files(
    content: PathLike,
    output: PathLike,
    mask: PathLike | None = None,
    suffix: str = ".png",
) -> list[ContentFile]:
    """Pair photos with their masks and outputs.

    Args:
      content: a photo, or a folder that is searched in depth.
      output: a file, if its name ends as one and content is no folder; else a folder
        for files with the photos' names.
      mask: of the photo; or a folder with one of the same name for every photo,
        whatever the extension.
      suffix: of outputs in a folder.
    """
    output = to_path(output)
    single = output.suffix.lower() in PHOTO_SUFFIXES and not to_path(content).is_dir()
    if single:
        found = [(to_path(content), output)]
        if not found[0][0].is_file():
            raise SourceError(f"there is no photo or folder {content}")
    else:
        photos = list_photo_files(content, output)
        found = [(photo.path, photo.output.with_suffix(suffix)) for photo in photos]
    files = []
    for path, target in found:
        file = ContentFile(path, _mask_of(path, mask), target)
        for written in (file.output, file.grid):
            if written.exists() and path.exists() and written.samefile(path):
                raise ConfigError(f"the output {written} would overwrite the photo")
        files.append(file)
    return files


def _mask_of(photo, mask):
    if mask is None:
        return None
    mask = to_path(mask)
    if not mask.is_dir():
        return mask
    found = sorted(file for file in mask.iterdir() if file.stem == photo.stem)
    # A folder is a mask in layers.
    if not found:
        raise ConfigError(f"there is no mask for {photo} in {mask}")
    return found[0]
