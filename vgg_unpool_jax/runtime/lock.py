"""One run at a time in a workdir."""

import contextlib
import errno
import fcntl
import io
import json
import logging
import os
import socket
import time
from collections.abc import Iterator

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.io import paths

FILE = "lock.json"

_LOG = logging.getLogger(__name__)
# Error numbers of file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def locked(workdir: str | os.PathLike) -> Iterator[None]:
    """Lock a workdir; the system releases the lock however the process ends.

    The file names the process that holds or held the lock. On a file system without
    locks, and in a bucket, nothing is locked and a warning is logged.

    Args:
      workdir: folder of the run, made when missing.
    """
    path = paths.to_path(workdir) / FILE
    if paths.is_remote(path):
        _warn_of_a_bucket(path)
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not truncated: until we have the lock, the file names its owner.
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{workdir} is held by another run ({_read_owner(file)}): take another "
                "workdir, or stop that one first"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            _LOG.warning(
                "%s cannot be locked (%s): see to it that no other run uses it",
                workdir,
                error.strerror,
            )
        file.truncate(0)
        json.dump(_owner(), file)
        file.flush()
        yield


def _warn_of_a_bucket(path):
    """In a bucket there is no lock, because it would outlive a run that was killed."""
    last = ""
    if path.exists():
        told = io.StringIO(paths.read_bytes(path).decode(errors="replace"))
        last = f"; the last one was {_read_owner(told)}"
    _LOG.warning(
        "%s is in a bucket, where no lock is held: see to it that no other run uses "
        "it%s",
        path.parent,
        last,
    )
    paths.write_bytes(path, json.dumps(_owner()).encode())


def _owner() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _read_owner(file) -> str:
    file.seek(0)
    try:
        owner = json.load(file)
        return f"pid {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "which has not written its pid yet"
