"""Where photos come from, behind one small interface.

| spec | source |
|---|---|
| `folder:PATH` | the photos of a folder and its subfolders |
| `zip:PATH` | the photos inside a zip file, read without unpacking it |
| `tfds:NAME`, `tfds:NAME:SPLIT` | the `image` feature of a prepared TFDS data set |
| `samples` | photos that come with scikit-image, no network needed |
"""

from typing import Protocol, runtime_checkable

import numpy as np

from vgg_unpool_jax.data.errors import PhotoError, SourceError
from vgg_unpool_jax.data.folder import FolderSource

__all__ = ["PhotoError", "Source", "SourceError", "make_source"]

_KINDS = "folder:PATH, zip:PATH, tfds:NAME, tfds:NAME:SPLIT or samples"


@runtime_checkable
class Source(Protocol):
    """A numbered collection of photos with random access.

    Sources can be pickled (reader processes get a copy) and read from several threads.
    `repr` says in words what the source is; it stands in error messages.
    """

    def __len__(self) -> int:
        """Number of photos."""

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3), RGB; raises PhotoError when unreadable."""

    def name(self, index: int) -> str:
        """Name of photo `index`, unique in the source."""


def make_source(spec: str) -> Source:
    """Open the source that `spec` names.

    Args:
      spec: `folder:PATH`, `zip:PATH`, `tfds:NAME`, `tfds:NAME:SPLIT` or `samples`. The
        split is `train` where none is given; TFDS' slices (`train[:10%]`) work, too.

    Returns:
      The source; it holds at least one photo.

    Raises:
      SourceError: the spec is misspelt, or what it names is missing, empty or damaged.
    """
    if not isinstance(spec, str):
        raise SourceError(f"a photo source is named by {_KINDS}, got {spec!r}")
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
