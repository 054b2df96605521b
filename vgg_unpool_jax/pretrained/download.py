"""The public VGG19 files: where they are, how they are checked, where they are kept."""

import contextlib
import dataclasses
import logging
import os
import pathlib
import secrets

import pooch
import requests

from vgg_unpool_jax.errors import WeightsError, WeightsUnavailableError, first_line
from vgg_unpool_jax.io.paths import is_remote
from vgg_unpool_jax.pretrained.formats import is_web_page
from vgg_unpool_jax.pretrained.hashes import file_digest

_log = logging.getLogger(__name__)

# Environment variables. The address is that of a folder, for mirrors inside a network
# without access to the public ones; what comes from there is hash-checked all the same.
CACHE_VARIABLE = "VGG_UNPOOL_CACHE"
URL_VARIABLE = "VGG_UNPOOL_WEIGHTS_URL"

_SECONDS_WITHOUT_ANSWER = 30
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class PublicFile:
    """A weight file at a public address.

    Attributes:
        name: its file name, on the server and in the cache.
        folder: address of the folder that it is in.
        algorithm: which digest is known of it, "md5" or "sha256".
        digest: that digest in hexadecimal, or the first digits of it.
    """

    name: str
    folder: str
    algorithm: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Purpose:
    """What sentences say of a download that went wrong.

    Attributes:
        what: is downloaded, such as "the VGG19 weights".
        remedy: what a user can do where it cannot be had.
        refusal: class of errors for what was had and is of no use.
        unavailable: class of errors for what could not be had.
    """

    what: str
    remedy: str
    refusal: type[Exception] = WeightsError
    unavailable: type[Exception] = WeightsUnavailableError


PUBLIC_FILES = {
    "keras": PublicFile(
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg19",
        "md5",
        "253f8cb515780f3b799900260a226db6",
    ),
    # torchvision publishes the first eight digits only, in the name of the file.
    "torchvision": PublicFile(
        "vgg19-dcbb9e9d.pth",
        "https://download.pytorch.org/models",
        "sha256",
        "dcbb9e9d",
    ),
}


def cache_folder(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Folder in which downloaded weights are kept.

    Args:
        cache_dir: the folder; None for what the environment variable VGG_UNPOOL_CACHE
            says, else the user's cache folder of this operating system.

    Returns:
        The folder, which need not exist.
    """
    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    return expand_home(chosen or pooch.os_cache("vgg_unpool_jax"))


def expand_home(path: str | os.PathLike) -> pathlib.Path:
    """Replace a leading `~` or `~user`.

    Args:
        path: a path as a user wrote it.

    Returns:
        The path that it means.
    """
    if is_remote(path):  # pathlib would make a local folder of it
        raise WeightsError(f"{path} is no folder of this machine, wanted is one")
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise WeightsError(
            f"the home folder in {path} cannot be found ({first_line(error)})"
        ) from error


def fetch(
    flavour: str, *, cache_dir: str | os.PathLike | None = None, download: bool = True
) -> pathlib.Path:
    """Path of a public file in the cache, downloaded if need be.

    The digest of the file is checked on every call. A damaged file in the cache is
    downloaded again.

    Args:
        flavour: "keras" or "torchvision".
        cache_dir: see `cache_folder`.
        download: False to use only what is in the cache.

    Returns:
        The path of a file with the right digest.
    """
    public = PUBLIC_FILES[flavour]
    path = cache_folder(cache_dir) / public.name
    if path.exists():
        if _matches(path, public):
            return path
        damaged = (
            f"the cached file {path} does not have the {public.algorithm.upper()} "
            f"{public.digest} of the public one"
        )
        if not download:
            raise WeightsError(f"{damaged}, delete it")
        _log.warning("%s, downloading it again", damaged)
    folder = os.environ.get(URL_VARIABLE) or public.folder
    url = f"{folder.rstrip('/')}/{public.name}"
    if not download:
        raise WeightsUnavailableError(
            f"no VGG19 weights are at {path} and downloading is off: {_what_to_do(url)}"
        )
    remedy = (
        "name the path of a weight file, set VGG19_WEIGHTS to it, or put the public "
        f"file at {path}"
    )
    purpose = Purpose("the VGG19 weights", remedy)
    download_checked(url, path, public.algorithm, public.digest, purpose)
    return path


def download_checked(
    url: str,
    path: pathlib.Path,
    algorithm: str,
    digest: str | None,
    purpose: Purpose,
) -> None:
    """Download aside, check, and rename: what has the name was checked.

    Args:
        url: of the file, http or https.
        path: its place; missing folders are made, a file that is there is replaced.
        algorithm: "md5" or "sha256".
        digest: what the file must have, in hexadecimal, or the first digits of it; None
            for one of which no digest is known.
        purpose: for what is said of errors.
    """
    _log.info("downloading %s from %s to %s", purpose.what, url, path)
    # A name of its own, for several processes may fill one cache at the same time.
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _get(url, aside, purpose)
        _check_downloaded(url, aside, algorithm, digest, purpose)
        os.replace(aside, path)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise purpose.refusal(
            f"{purpose.what} from {url} cannot be written to {path} ({reason}), "
            f"choose another cache folder with {CACHE_VARIABLE}"
        ) from error
    finally:
        # Gone after the rename; never there if the folder could not be made.
        with contextlib.suppress(OSError):
            aside.unlink()


def _what_to_do(url: str) -> str:
    return (
        "name the path of a weight file, set VGG19_WEIGHTS to it, or let the program "
        f"download {url}"
    )


def _matches(path: pathlib.Path, public: PublicFile) -> bool:
    return file_digest(path, public.algorithm).startswith(public.digest)


def _get(url: str, aside: pathlib.Path, purpose: Purpose):
    download = pooch.HTTPDownloader(
        timeout=_SECONDS_WITHOUT_ANSWER,
        chunk_size=_CHUNK_BYTES,
        hooks={"response": _close_refusal},
    )
    try:
        download(url, str(aside), None)
    # UnicodeError: a host name that cannot be encoded, which requests lets through.
    except (requests.exceptions.RequestException, UnicodeError) as error:
        raise purpose.unavailable(
            f"{purpose.what} could not be downloaded from {url} ({_reason(error)}): "
            f"{purpose.remedy}"
        ) from error


def _close_refusal(response: requests.Response, **_):
    # pooch raises on these without closing the connection.
    if response.status_code >= 400:
        response.close()


def _reason(error: Exception) -> str:
    # requests' own texts are long and full of object addresses.
    kinds = requests.exceptions
    if isinstance(error, kinds.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, kinds.Timeout):
        return f"no answer within {_SECONDS_WITHOUT_ANSWER} seconds"
    if isinstance(error, kinds.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, kinds.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, kinds.ConnectionError):
        return "no connection to the server"
    return first_line(error)


def _check_downloaded(url, aside: pathlib.Path, algorithm, digest, purpose: Purpose):
    with open(aside, "rb") as file:
        head = file.read(1024)
    # The login page of a hotel's network answers every address with success.
    if is_web_page(head):
        raise purpose.unavailable(
            f"{url} answered with a web page in place of {purpose.what}: "
            f"{purpose.remedy}"
        )
    if digest is None:
        return
    found = file_digest(aside, algorithm)
    if not found.startswith(digest):
        raise purpose.refusal(
            f"what {url} sent has the {algorithm.upper()} {found}, wanted {digest}"
            f"{'' if len(digest) >= 32 else '...'}, so it was deleted"
        )
