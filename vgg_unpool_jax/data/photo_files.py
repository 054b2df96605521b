"""Photo files that are processed one by one, and the names of their results."""

import dataclasses
import os
import pathlib
from collections import Counter

import numpy as np

from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.folder import FolderSource
from vgg_unpool_jax.errors import SourceError
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.outputs import check_outputs, output_folder


@dataclasses.dataclass(frozen=True)
class PhotoFile:
    """One photo and the files of its results.

    Attributes:
      path: the photo.
      output: the PNG file to write.
      grid: the PNG file for a side-by-side picture.
    """

    path: pathlib.Path
    output: pathlib.Path
    grid: pathlib.Path

    def read(self) -> np.ndarray:
        """The photo as uint8 (h, w, 3) RGB; raises PhotoError when unreadable."""
        return decode_photo(self.path, str(self.path), tell_alpha=True)


def list_photo_files(
    source: str | os.PathLike, output: str | os.PathLike
) -> list[PhotoFile]:
    """Pair the photos of a file or folder with output files.

    An output has the photo's name with the extension .png, below the same subfolders;
    where two photos of a folder differ in the extension alone, outputs keep it
    (`a.jpg.png`).

    Args:
      source: a photo, or a folder that is searched in depth.
      output: folder for the results; it need not exist.
    """
    source, output = paths.to_path(source), output_folder(output)
    if source.is_dir():
        folder = FolderSource(source)
        names = [pathlib.PurePath(folder.name(i)) for i in range(len(folder))]
        photos = [source / name for name in names]
    elif source.is_file():
        names, photos = [pathlib.PurePath(source.name)], [source]
    else:
        raise SourceError(f"there is no photo or folder {source}")
    shared = Counter(name.with_suffix("") for name in names)
    files, written = [], {}
    for name, path in zip(names, photos, strict=True):
        stem = output / (
            name if shared[name.with_suffix("")] > 1 else name.with_suffix("")
        )
        file = PhotoFile(
            path,
            output=stem.with_name(f"{stem.name}.png"),
            grid=stem.with_name(f"{stem.name}_grid.png"),
        )
        for target in (file.output, file.grid):
            if target in written:
                raise SourceError(
                    f"the results of {path} and {written[target]} would both be "
                    f"{target}: rename one of them"
                )
            written[target] = path
        files.append(file)
    check_outputs(written, photos)
    return files
