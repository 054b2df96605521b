"""Public weight files: addresses, digests and the cache."""

import dataclasses
import logging
import os
import pathlib

from vgg_unpool_jax.errors import WeightsError, WeightsUnavailableError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import CACHE_VARIABLE, cache_folder
from vgg_unpool_jax.pretrained.hashes import file_digest

_LOG = logging.getLogger(__name__)

# Environment variable: the address is that of a folder, for mirrors inside a network
# without access to the public ones; files from there are hash-checked all the same.
URL_VARIABLE = "VGG_UNPOOL_WEIGHTS_URL"

_SECONDS_WITHOUT_ANSWER = 30
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class PublicFile:
    """A weight file at a public address.

    Attributes:
      name: its file name, on the server and in the cache.
      folder: address of the folder that it is in.
      known_hash: "md5:DIGITS" or "sha256:DIGITS" as published, in hexadecimal; the
        first digits are enough.
    """

    name: str
    folder: str
    known_hash: str


PUBLIC_FILES = {
    "keras": PublicFile(
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg19",
        "md5:253f8cb515780f3b799900260a226db6",
    ),
    # torchvision publishes the first eight digits only, in the name of the file.
    "torchvision": PublicFile(
        "vgg19-dcbb9e9d.pth", "https://download.pytorch.org/models", "sha256:dcbb9e9d"
    ),
}


def fetch(
    flavour: str, *, cache_dir: str | os.PathLike | None = None, download: bool = True
) -> pathlib.Path:
    """Path of a public file in the cache, downloaded if necessary.

    The digest of the file is checked on every call. A damaged file in the cache is
    downloaded again.

    Args:
      flavour: "keras" or "torchvision".
      cache_dir: see `cache_folder`.
      download: False to use only files in the cache.

    Returns:
      The path of a file with the right digest.
    """
    return fetch_file(
        PUBLIC_FILES[flavour],
        what="VGG19 weights",
        variable="VGG19_WEIGHTS",
        cache_dir=cache_dir,
        download=download,
    )


def fetch_file(
    public: PublicFile,
    *,
    what: str,
    variable: str,
    cache_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> pathlib.Path:
    """`fetch` for the file of any weights.

    Args:
      public: the file.
      what: it holds, for messages, such as "VGG19 weights".
      variable: environment variable by which users name a file instead, for messages.
      cache_dir: see `cache_folder`.
      download: False to use only files in the cache.

    Returns:
      The path of a file with the right digest.
    """
    path = cache_folder(cache_dir) / public.name
    url = f"{(os.environ.get(URL_VARIABLE) or public.folder).rstrip('/')}/{public.name}"
    if path.exists():
        difference = _difference(path, public.known_hash)
        if difference is None:
            return path
        damaged = f"the cached file {path} {difference}"
        if not download:
            raise WeightsError(f"{damaged}, delete it")
        _LOG.warning("%s, downloading it again", damaged)
    if not download:
        raise WeightsUnavailableError(
            f"no {what} are at {path} and downloading is off: name a weight file, set "
            f"{variable} to it, or allow the download of {url}"
        )
    download_file(
        url,
        path,
        public.known_hash,
        what=f"the {what}",
        remedy=f"name the path of a weight file, set {variable} to it, or put the "
        f"public file at {path}",
    )
    return path


def download_file(
    url: str,
    path: pathlib.Path,
    known_hash: str | None,
    *,
    what: str,
    remedy: str,
    refusal: type[WeightsError] = WeightsError,
    unavailable: type[WeightsError] = WeightsUnavailableError,
) -> None:
    """Download a file aside, check it, and rename it.

    Args:
      url: of the file, http or https.
      path: of the result; missing folders are made, an existing file is replaced.
      known_hash: SHA-256 of the file or its first digits, or "md5:DIGITS"; None if it
        is unknown.
      what: is downloaded, for messages, such as "the VGG19 weights".
      remedy: what a user can do without the download.
      refusal: class of the error for another file than expected.
      unavailable: class of the error for a failed download.
    """
    # Imported here, since most commands download nothing.
    import pooch
    import requests

    download = pooch.HTTPDownloader(
        timeout=_SECONDS_WITHOUT_ANSWER,
        chunk_size=_CHUNK_BYTES,
        hooks={"response": _close_refusal},
    )

    _LOG.info("downloading %s from %s to %s", what, url, path)
    try:
        with replacing(path) as file:
            download(url, file, None)
            file.flush()
            # The login page of a hotel's network answers every address with success.
            if _is_web_page(file.name):
                raise unavailable(
                    f"{url} answered with a web page in place of {what}: {remedy}"
                )
            difference = _difference(file.name, known_hash or "")
            if difference is not None:
                raise refusal(f"the file from {url} {difference}, so it was deleted")
    # UnicodeError: a host name that cannot be encoded, which requests lets through.
    except (requests.exceptions.RequestException, UnicodeError) as error:
        raise unavailable(
            f"{what} could not be downloaded from {url} ({_reason(error)}): {remedy}"
        ) from error
    except OSError as error:
        raise refusal(
            f"{what} from {url} cannot be written to {path} ({first_line(error)}), "
            f"choose another cache folder with {CACHE_VARIABLE}"
        ) from error


def _difference(path: str | os.PathLike, known_hash: str) -> str | None:
    """How the hash of a file differs from a known one; None if it does not."""
    algorithm, _, digits = known_hash.rpartition(":")
    name = {"md5": "MD5", "sha256": "SHA-256", "": "SHA-256"}[algorithm]
    found = file_digest(path, algorithm or "sha256")
    if found.startswith(digits):
        return None
    return f"has the {name} {found}, expected {digits}"


def _close_refusal(response, **_):
    # pooch raises on these without closing the connection.
    if response.status_code >= 400:
        response.close()


def _is_web_page(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(1024).lower()
    return b"<html" in head or b"<!doctype html" in head


def _reason(error: Exception) -> str:
    # requests' own texts are long and full of object addresses.
    from requests import exceptions as kinds

    if isinstance(error, kinds.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, kinds.Timeout):
        return f"no answer within {_SECONDS_WITHOUT_ANSWER} seconds"
    if isinstance(error, kinds.ConnectionError):
        return "no connection to the server"
    return first_line(error)
