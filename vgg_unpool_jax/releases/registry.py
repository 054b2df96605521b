"""Released decoders by name: what is known of each, and where its file is.

A registry is a file `releases.json` in a folder of released decoders. One comes with
this package, and the environment variable VGG_UNPOOL_RELEASES names the folder or web
address of another, whose names go before those of the package. `register` writes them.

| key | value |
|---|---|
| `format_version` | 1 |
| `decoders` | name -> the fields of `Release` but its name |

A file is known by its SHA-256. It is looked for in the package, beside the registry if
that is a local folder, in the cache, and at its address.
"""

import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError, first_line
from vgg_unpool_jax.io.paths import local_path, read_bytes
from vgg_unpool_jax.pretrained.download import cache_folder, download_file
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases.release_metadata import check_version, read_metadata

FILE = "releases.json"
FORMAT_VERSION = 1
RELEASES_VARIABLE = "VGG_UNPOOL_RELEASES"
NAME = re.compile(r"vgg19-[\w.-]+")
PACKAGE_FOLDER = pathlib.Path(__file__).parent / "packaged"

_WEB = ("http://", "https://")
_FILE_NAME = re.compile(r"[\w][\w.-]*\.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Release:
    """What a registry says of one decoder.

    Attributes:
      name: such as "vgg19-block1".
      block: 1 to 5.
      file: name of its file, without folders.
      sha256: of the file; None where it is not published yet.
      size: of the file in bytes, or None.
      address: folder, gs:// or web address with the file; "" is that of the registry.
      licence: of the decoder, or None where nobody has said.
      step: number of training steps, or None.
      dtype: of the stored parameters, or None.
      vgg19: origin, sha256 and preprocessing of the VGG19 weights.
      metrics: name -> {"mean", "interval", "photos"}.
      evaluated_on: "source", "crop" and "image_size" of these metrics, and whether they
        are "of_this_file" or were measured before its parameters were rounded.
    """

    name: str
    block: int
    file: str
    sha256: str | None = None
    size: int | None = None
    address: str = ""
    licence: str | None = None
    step: int | None = None
    dtype: str | None = None
    vgg19: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluated_on: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Registry:
    """A registry that was read.

    Attributes:
      place: its folder or web address, as text.
      releases: name -> `Release`, in the order of the file.
    """

    place: str
    releases: Mapping[str, Release]


def read_registry(folder: str | os.PathLike) -> Registry:
    """Read the registry of a folder."""
    path = local_path(folder) / FILE
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        raise ReleaseError(
            f"{folder} has no registry {FILE} of released decoders, make it with "
            f"`python -m experiments.register_releases --folder={folder}`"
        ) from error
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise ReleaseError(f"the registry {path} cannot be read ({reason})") from error
    return parse_registry(str(folder), str(path), content)


def parse_registry(place: str, path: str, content: bytes) -> Registry:
    """Read what stands in a registry's file.

    Args:
      place: folder or web address that the registry belongs to.
      path: the file, for messages.
      content: of the file.
    """
    try:
        tree = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"the registry {path} is no JSON") from error
    check_version("the contents", path, tree, FORMAT_VERSION)
    decoders = tree.get("decoders")
    if not isinstance(decoders, dict):
        raise ReleaseError(f"the registry {path} lists no decoders")
    return Registry(
        place, {name: _parse_entry(path, name, decoders[name]) for name in decoders}
    )


def _parse_entry(path: str, name: str, entry: Any) -> Release:
    fields = {field.name for field in dataclasses.fields(Release)} - {"name"}
    try:
        # Fields that a later version adds are none of our business.
        known = {key: entry[key] for key in entry if key in fields}
        release = Release(name=name, **known)
        is_sound = (
            NAME.fullmatch(name)
            and release.block in range(1, 6)
            # A file name with folders in it could write anywhere.
            and _FILE_NAME.fullmatch(release.file)
            and isinstance(release.address, str)
            and (release.sha256 is None or _SHA256.fullmatch(release.sha256))
            and isinstance(release.licence, str | None)
            and isinstance(release.size, int | None)
            and all(
                isinstance(tree, Mapping)
                for tree in (release.vgg19, release.metrics, release.evaluated_on)
            )
            and all(
                isinstance(summary["mean"], float | int)
                for summary in release.metrics.values()
            )
        )
    except (KeyError, TypeError) as error:
        raise ReleaseError(
            f"the entry {name!r} of the registry {path} cannot be used "
            f"({first_line(error)})"
        ) from error
    if not is_sound:
        raise ReleaseError(
            f"the entry {name!r} of the registry {path} cannot be used: its name, "
            "block, file, sha256 or metrics are not as this library writes them"
        )
    return release


def registries() -> tuple[Registry, ...]:
    """The registries that are asked, in this order."""
    named = os.environ.get(RELEASES_VARIABLE)
    packaged = read_registry(PACKAGE_FOLDER)
    return (_named_registry(named), packaged) if named else (packaged,)


def known_releases() -> dict[str, tuple[Release, Registry]]:
    """Name -> what is known of it, and the registry that says so; sorted by name."""
    known = {}
    for registry in reversed(registries()):
        known |= {name: (entry, registry) for name, entry in registry.releases.items()}
    return dict(sorted(known.items()))


def find_file(release: Release, registry: Registry) -> tuple[pathlib.Path | None, str]:
    """Where the file of a release is without a download, and what to call the place.

    Returns:
      The file, hash-checked, or None; "package", "folder", "cache", or the address from
      which it could be fetched, or "not published".
    """
    if release.sha256 is None:
        return None, "not published"
    address = release.address or registry.place
    places = {"package": PACKAGE_FOLDER}
    if not address.startswith(_WEB):
        folder = local_path(address)
        if folder != PACKAGE_FOLDER:
            places["folder"] = folder
    for kind, folder in places.items():
        path = folder / release.file
        if path.is_file():
            found = file_digest(path, "sha256")
            if found == release.sha256:
                return path, kind
            # Another registry may well have another file of the same name.
            if kind == "folder" or registry.place == str(PACKAGE_FOLDER):
                raise ReleaseError(
                    f"{path} has the SHA-256 {found}, and the registry of "
                    f"{registry.place} says {release.sha256}: restore the file, or "
                    "make the registry again"
                )
    cached = _cached(release)
    if cached.is_file():
        if file_digest(cached, "sha256") == release.sha256:
            return cached, "cache"
        _log.warning("%s does not have the SHA-256 of %s", cached, release.name)
    return None, address


def locate(release: Release, registry: Registry) -> pathlib.Path:
    """Path of the file of a release, fetched into the cache if need be.

    Its digest is checked on every call, and its block.
    """
    path, place = find_file(release, registry)
    if release.sha256 is None:
        raise ReleaseUnavailableError(
            f"the decoder {release.name} is not published yet: train it with "
            f"`./launch.sh release --block={release.block} --photos=PHOTOS "
            f"--test_photos=PHOTOS`, name its file, or set {RELEASES_VARIABLE} to a "
            "place that has it"
        )
    if path is None:
        path = _fetch(release, place)
    _check_block(path, release, registry)
    return path


def _cached(release: Release) -> pathlib.Path:
    # Of two registries with files of one name, each keeps its own.
    return cache_folder() / "decoders" / release.sha256[:16] / release.file


def _fetch(release: Release, address: str) -> pathlib.Path:
    cached, url = _cached(release), f"{address.rstrip('/')}/{release.file}"
    if address.startswith(_WEB):
        purpose = _purpose(
            f"the decoder {release.name}", f"name its file, or put it at {cached}"
        )
        download_file(url, cached, release.sha256, **purpose)
        return cached
    raise ReleaseUnavailableError(
        f"the decoder {release.name} is not at {url}: name its file, or put it there"
    )


def _check_block(path: pathlib.Path, release: Release, registry: Registry) -> None:
    block = read_metadata(path)["block"]
    if block != release.block:
        raise ReleaseError(
            f"{path} holds a decoder of block {block}, and the registry of "
            f"{registry.place} says that {release.name} is of block {release.block}"
        )


def _named_registry(named: str) -> Registry:
    if named.startswith(_WEB):
        return _web_registry(named.rstrip("/"), str(cache_folder()))
    return read_registry(named)


# Asked once in a process: what a name meant in the beginning, it means in the end, when
# the results of an evaluation tell which file it was.
@functools.cache
def _web_registry(address: str, cache: str) -> Registry:
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = pathlib.Path(cache) / "decoders" / "registries" / key / FILE
    purpose = _purpose(
        "the registry of released decoders",
        f"mend or unset the environment variable {RELEASES_VARIABLE}",
    )
    try:
        download_file(f"{address}/{FILE}", path, None, **purpose)
    except ReleaseUnavailableError as error:
        if not path.is_file():
            raise
        _log.warning("going on with the registry of an earlier day: %s", error)
    return parse_registry(address, f"{address}/{FILE}", path.read_bytes())


def _purpose(what: str, remedy: str) -> dict[str, Any]:
    return {
        "what": what,
        "remedy": remedy,
        "refusal": ReleaseError,
        "unavailable": ReleaseUnavailableError,
    }
