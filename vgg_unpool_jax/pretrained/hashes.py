"""Digests of files."""

import hashlib
import os

from vgg_unpool_jax.errors import WeightsError, first_line


def file_digest(path: str | os.PathLike, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content, in lower case."""

    def new():
        # Without this flag MD5 is refused on machines in FIPS mode.
        return hashlib.new(algorithm, usedforsecurity=False)

    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, new).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({first_line(error)})") from error
