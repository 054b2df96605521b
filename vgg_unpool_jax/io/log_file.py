"""A file that grows while others read it."""

import pathlib
import time
from typing import BinaryIO

from vgg_unpool_jax.io.paths import is_remote, write_bytes

# An object has to be sent whole, and may be replaced once a second.
_PART_BYTES, _SECONDS = 1 << 20, 1.0


def open_log(path: pathlib.Path) -> BinaryIO:
    """Open a new file to append to.

    Args:
      path: in a folder that exists. A remote log becomes several files, whose names
        begin with this one and sort in the order of writing.
    """
    return _RemoteLog(path) if is_remote(path) else open(path, "xb")


class _RemoteLog:
    """Uploads on every flush the new content, together with recent older content."""

    def __init__(self, path):
        self._path, self._part = path, 0
        self._content, self._sent, self._when = b"", 0, 0.0

    def write(self, content: bytes) -> None:
        self._content += content

    def flush(self) -> None:
        if self._sent == len(self._content):
            return
        recent = time.monotonic() - self._when < _SECONDS
        if self._sent and (recent or self._sent > _PART_BYTES):
            self._content, self._part = self._content[self._sent :], self._part + 1
        write_bytes(f"{self._path}.{self._part:06d}", self._content)
        self._sent, self._when = len(self._content), time.monotonic()

    def close(self) -> None:
        self.flush()
