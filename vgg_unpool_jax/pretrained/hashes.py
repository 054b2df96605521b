"""Digests of files."""

import hashlib
import os

from vgg_unpool_jax.errors import WeightsError, first_line


def file_digest(path: os.PathLike, algorithm: str) -> str:
    """Hexadecimal digest of a file's content.

    Args:
        path: the file.
        algorithm: "sha256" or "md5".

    Returns:
        The digest in lower case.
    """

    def new():
        # MD5 only tells the public file from a damaged one; without this flag it is
        # refused on machines in FIPS mode.
        return hashlib.new(algorithm, usedforsecurity=False)

    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, new).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({first_line(error)})") from error
