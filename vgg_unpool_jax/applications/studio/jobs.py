"""Long work of a session: its progress, how it is cancelled, and its files."""

import contextlib
import pathlib
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from vgg_unpool_jax.errors import PhotoError

_UNSAFE = re.compile(r"[^\w. +()-]")


class CancelledError(Exception):
    """The user cancelled the work."""


class Job:
    """A piece of work that shows progress and can be cancelled between its steps."""

    def __init__(self, report: Callable[[float, str], None] | None = None):
        """Start.

        Args:
          report: is told the share that is done, 0 to 1, and what is being done.
        """
        self._report, self._cancelled = report, threading.Event()
        self._span, self._stages, self._stage = (0.0, 1.0), 1, 0

    def cancel(self) -> None:
        """End the work at its next step."""
        self._cancelled.set()

    def say(self, share: float, what: str) -> None:
        """Report progress; raises `CancelledError` if the work was cancelled."""
        if self._cancelled.is_set():
            raise CancelledError
        if self._report is not None:
            low, high = self._span
            self._report(low + (high - low) * min(share, 1.0), what)

    def expect(self, loops: int) -> None:
        """Say how many loops will be followed, so that their shares are known."""
        self._stages, self._stage = max(loops, 1), 0

    def follow(self, items: Sequence, *, desc: str = "tiles") -> Iterator:
        """Go through items as `tqdm` does."""
        for number, item in enumerate(items):
            done = self._stage + number / len(items)
            self.say(done / self._stages, desc)
            yield item
        self._stage += 1

    def parts(self, items: Sequence, what: Callable[[int], str]) -> Iterator:
        """Go through items whose work reports progress itself, each an equal part."""
        low, high = self._span
        width = (high - low) / max(len(items), 1)
        for number, item in enumerate(items):
            self._span = low + number * width, low + (number + 1) * width
            self.say(0.0, what(number))
            yield item
        self._span = low, high


class Session:
    """What belongs to one visitor.

    Attributes:
      folder: of the files that were made for them.
      used: when they were last here, see `time.monotonic`.
    """

    def __init__(self, folder: pathlib.Path):
        """Make the folder."""
        self.folder, self.used = folder, time.monotonic()
        self.uploads: set[pathlib.Path] = set()
        self._jobs: set[Job] = set()
        folder.mkdir()

    def new_file(self, name: str) -> pathlib.Path:
        """A path that nobody can guess for a file of this name."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / safe_name(name)

    @contextlib.contextmanager
    def job(self, report: Callable[[float, str], None] | None = None) -> Iterator[Job]:
        """A job, until the end of `with`."""
        job = Job(report)
        self._jobs.add(job)
        try:
            yield job
        finally:
            self._jobs.discard(job)

    def cancel(self) -> None:
        """Cancel all work of this visitor."""
        for job in list(self._jobs):
            job.cancel()


class Sessions:
    """The sessions by the key that gradio gives each page, and their files."""

    def __init__(self, root: pathlib.Path, uploads: pathlib.Path):
        """Nobody is here yet.

        Args:
          root: an empty folder for what is made.
          uploads: the only folder in which files from browsers are looked for.
        """
        self._root, self._uploads = root, uploads.resolve()
        self._found: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, key: str | None) -> Session:
        """The session of a key, a new one where there is none."""
        with self._lock:
            key = key or "none"
            if key not in self._found:
                self._found[key] = Session(self._root / secrets.token_hex(16))
            self._found[key].used = time.monotonic()
            return self._found[key]

    def adopt(self, session: Session, path: str) -> pathlib.Path:
        """Take an upload into a session: the one gate for paths from a browser.

        Args:
          session: whose it is.
          path: as it came in.

        Returns:
          The same path, which lies in the folder of uploads and is no link.
        """
        found = pathlib.Path(str(path))
        if (
            "\0" in str(path)
            or not found.resolve().is_relative_to(self._uploads)
            or found.resolve().is_relative_to(self._root.resolve())
            or not found.is_file()
        ):
            raise PhotoError(
                "that file was not uploaded here, or is gone: choose it again"
            )
        session.uploads.add(found.resolve())
        return found

    def end(self, key: str | None) -> None:
        """Cancel the work of a session and remove its files."""
        with self._lock:
            session = self._found.pop(key or "none", None)
            if session is None:
                return
            kept = set().union(*(other.uploads for other in self._found.values()))
        session.cancel()
        shutil.rmtree(session.folder, ignore_errors=True)
        # Two people may have uploaded the same file.
        for path in session.uploads - kept:
            path.unlink(missing_ok=True)

    def end_old(self, seconds: float) -> None:
        """End the sessions of programs that left without a word."""
        limit = time.monotonic() - seconds
        for key in [k for k, s in list(self._found.items()) if s.used < limit]:
            self.end(key)


def safe_name(name: str) -> str:
    """A file name without folders and control characters, of at most 80 letters."""
    last = re.split(r"[/\\]", str(name))[-1]
    cleaned = _UNSAFE.sub("_", last).strip(". ") or "photo"
    stem, dot, suffix = cleaned.rpartition(".")
    return f"{stem[:68]}.{suffix[:11]}" if dot else cleaned[:80]
