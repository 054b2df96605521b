"""Collections of photos behind one small interface.

| spec | source |
|---|---|
| `folder:PATH` | the photos of a folder and its subfolders |
| `zip:PATH` | the photos inside a zip file, read without unpacking it |
| `tfds:NAME`, `tfds:NAME:SPLIT` | the `image` feature of a prepared TFDS data set |
| `samples` | photos that come with scikit-image, no network needed |
| `zip:PATH,zip:PATH` | several of these as one, the photos of the first come first |

Only a folder may be in gs://; a zip file is read from this machine.
"""

import bisect
import itertools
import os
import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vgg_unpool_jax.data.folder import FolderSource
from vgg_unpool_jax.errors import PhotoError, SourceError

_KINDS = (
    "folder:PATH, zip:PATH, tfds:NAME, tfds:NAME:SPLIT or samples, or several of "
    "them with commas between"
)

# A comma between two specs. A comma that no spec follows belongs to a path. `samples`
# counts as a whole word only, since it could begin a file's name.
_COMMA = re.compile(r",(?=(samples,)*(folder:|zip:|tfds:|samples\Z))")


@runtime_checkable
class Source(Protocol):
    """A numbered collection of photos with random access.

    Sources can be pickled (reader processes get a copy) and read from several threads.
    `repr` describes the source in error messages.
    """

    def __len__(self) -> int:
        """Number of photos."""

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3), RGB; raises PhotoError when unreadable."""

    def name(self, index: int) -> str:
        """Name of photo `index`, unique in the source."""

    def label(self, index: int) -> str | None:
        """Class of photo `index`, None where there is none.

        Raises PhotoError where it must be read from the photo's record and cannot be.
        """


class JoinedSource:
    """The photos of several sources, those of the first source first.

    Two parts can have photos of the same name. Names therefore begin with the number
    of the part, counted from 1: `2/train2017/000000000009.jpg`.

    Args:
      parts: the sources, at least one.
    """

    def __init__(self, parts: Sequence[Source]):
        self._parts = tuple(parts)
        self._ends = list(itertools.accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        part, position = self._find(index)
        try:
            return self._parts[part][position]
        except PhotoError as error:
            raise self._renamed(error, index) from error

    @property
    def files(self) -> list[str]:
        """The files of all parts."""
        return [file for part in self._parts for file in source_files(part)]

    def name(self, index: int) -> str:
        """Number of the part and name there of photo `index`."""
        part, position = self._find(index)
        return f"{part + 1}/{self._parts[part].name(position)}"

    def label(self, index: int) -> str | None:
        """Class of photo `index`; raises PhotoError as its part does.

        Classes of the same name in two parts are one class.
        """
        part, position = self._find(index)
        try:
            return self._parts[part].label(position)
        except PhotoError as error:
            raise self._renamed(error, index) from error

    def __repr__(self) -> str:
        return " and ".join(map(repr, self._parts))

    def _find(self, index: int) -> tuple[int, int]:
        """Number of the part, from 0, and of the photo in it."""
        if not 0 <= index < len(self):
            raise IndexError(
                f"index must lie in 0..{len(self) - 1} for {self!r}, got {index}"
            )
        part = bisect.bisect_right(self._ends, index)
        return part, int(index) - (self._ends[part - 1] if part else 0)

    def _renamed(self, error: PhotoError, index: int) -> PhotoError:
        """The error with the photo's name in this source in front."""
        return PhotoError(f"{self.name(index)}: {error}")


def source_files(source: Source) -> list[str]:
    """The files of this machine or in gs:// that a source reads, as far as it says.

    Args:
      source: files are its attribute `files`; sources without it, such as those of
        TFDS, have none here.
    """
    return list(getattr(source, "files", ()))


def overlap(one: Source, other: Source) -> str | None:
    """What two sources both hold: a file, whatever its name in each, or all.

    Data sets of TFDS are compared by their names and splits alone.

    Returns:
      The file or the whole source in words, None if there is nothing.
    """
    if repr(one) == repr(other):
        return repr(one)
    held = set(map(_identity, source_files(one)))
    shared = (file for file in source_files(other) if _identity(file) in held)
    return next(shared, None)


def _identity(file: str) -> tuple[int, int] | str:
    """Equal for all names of a file of this machine."""
    try:
        status = os.stat(file)
    except OSError:  # in gs://, or a photo that vanished
        return file
    return status.st_dev, status.st_ino


def make_source(spec: str) -> Source:
    """Open the source that `spec` names.

    Args:
      spec: `folder:PATH`, `zip:PATH`, `tfds:NAME`, `tfds:NAME:SPLIT` or `samples`. The
        split is `train` where none is given; TFDS' slices (`train[:10%]`) work, too.
        Several of them with commas between give one source with the photos of all; a
        comma that no such kind follows belongs to the path before it.

    Returns:
      The source; it holds at least one photo.
    """
    if not isinstance(spec, str):
        raise SourceError(f"a photo source is named by {_KINDS}, got {spec!r}")
    starts = [0, *(comma.end() for comma in _COMMA.finditer(spec))]
    ends = [*(start - 1 for start in starts[1:]), len(spec)]
    specs = [spec[start:end] for start, end in zip(starts, ends, strict=True)]
    if len(specs) == 1:
        return _make_single_source(spec)
    parts = [_make_single_source(part) for part in specs]
    for one, other in itertools.combinations(parts, 2):
        if found := overlap(one, other):
            raise SourceError(
                f"the photo source {spec!r} names {found} twice, which could put it "
                f"into training and test at once"
            )
    return JoinedSource(parts)


def _make_single_source(spec: str) -> Source:
    kind, colon, rest = spec.partition(":")
    if spec == "samples":
        from vgg_unpool_jax.data.samples import SamplesSource

        return SamplesSource()
    if colon and rest:
        if kind == "folder":
            return FolderSource(rest)
        if kind == "zip":
            from vgg_unpool_jax.data.zip_file import ZipSource

            return ZipSource(rest)
        if kind == "tfds":
            from vgg_unpool_jax.data.tfds_source import TfdsSource

            return TfdsSource.from_spec(rest)
    raise SourceError(f"a photo source is named by {_KINDS}, got {spec!r}")
