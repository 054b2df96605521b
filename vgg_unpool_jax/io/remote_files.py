"""Remote files that are read in parts, and files that grow."""

import errno
import io
import os
import pathlib
import time
from typing import BinaryIO

from vgg_unpool_jax.io.paths import file_system, is_remote, os_errors, write_bytes

# An object has to be sent whole, and may be replaced once a second.
_PART_BYTES, _SECONDS = 1 << 20, 1.0
# What is read at a time where nobody said how much.
_WINDOW = 1 << 16


def open_log(path: pathlib.Path) -> BinaryIO:
    """Open a new file that grows, and is read while it does.

    Args:
      path: in a folder that exists. A remote log is several files, whose names begin
        with this one and go on in the order in which they were written.
    """
    return _RemoteLog(path) if is_remote(path) else open(path, "xb")


class _RemoteLog:
    """What is flushed is uploaded, with what came shortly before."""

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


class RangeReader(io.RawIOBase):
    """A remote file of which parts are read, a request each.

    Args:
      path: remote.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = os.fspath(path)
        with os_errors(path):
            facts = file_system(path).info(self._path)
        if facts["type"] == "directory":
            raise IsADirectoryError(errno.EISDIR, "Is a directory", self._path)
        self._size = facts["size"]
        self._at, self._start, self._window = 0, 0, b""

    def fetch(self, start: int, size: int) -> None:
        """Read bytes ahead, with one request, that will be asked for next."""
        end = min(start + size, self._size)
        with os_errors(self._path):
            self._window = file_system(self._path).cat_file(self._path, start, end)
        self._start = start

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place; nothing is read."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        if begin[whence] + offset < 0:
            raise OSError(f"{self._path} has no byte {begin[whence] + offset}")
        self._at = begin[whence] + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer at the end of the file."""
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        if size == 0:
            return b""
        first = self._at - self._start
        if first < 0 or first + size > len(self._window):
            self.fetch(self._at, max(size, _WINDOW))
            first = 0
        content = self._window[first : first + size]
        self._at += len(content)
        return content
