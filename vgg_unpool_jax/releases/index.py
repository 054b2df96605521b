"""Released models by name.

An index is a file `releases.json` beside released models:

| key | value |
|---|---|
| `format_version` | 1 |
| `models` | name -> `file`, `sha256`, optional `address`, facts for people |

`sha256` is null for a model that is not published yet; `address` is the folder or web
address of a file that is not beside the index. The package has an index; the
environment variable VGG_UNPOOL_RELEASES names the folder or web address of another one,
whose names take precedence.
"""

import dataclasses
import functools
import os
import pathlib
import re
import tempfile
from collections.abc import Mapping
from typing import Any

from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.io.paths import cache_folder, check_reachable, local_path, to_path
from vgg_unpool_jax.pretrained.download import download_file
from vgg_unpool_jax.pretrained.hashes import file_digest
from vgg_unpool_jax.releases import hub
from vgg_unpool_jax.releases.file import SUFFIX, read_metadata, without_folders

FILE = "releases.json"
VARIABLE = "VGG_UNPOOL_RELEASES"
PACKAGE = pathlib.Path(__file__).parent / "packaged"

_FORMAT_VERSION = 1
_WEB = ("http://", "https://")
_NAME = re.compile(r"\w+-[\w.-]+")
_FILE_NAME = re.compile(r"\w[\w.-]*\.safetensors")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model of an index.

    Attributes:
      name: such as "vgg19-block1".
      file: name of its file.
      sha256: of the file; None if it is not published yet.
      address: folder or web address with the file.
      facts: further facts of the index, such as "licence", "metrics", "size".
    """

    name: str
    file: str
    sha256: str | None
    address: str
    facts: Mapping[str, Any]


def find(target: str | os.PathLike) -> pathlib.Path | None:
    """The file of a released model, downloaded if it is not on this machine.

    Args:
      target: a path ending in `.safetensors`; a folder with a `model.safetensors`; a
        name of an index; or "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION" on the Hugging
        Face Hub. An existing path takes precedence over a name.

    Returns:
      The file, which need not exist if it was named by its path; None if the target
      can only be a workdir.
    """
    name = os.fspath(target)
    if hub.is_spec(name):
        return hub.download(name)
    path = to_path(target)
    check_reachable(path)
    if path.is_dir():
        model = path / hub.MODEL_FILE
        return model if model.exists() else None
    if path.suffix == SUFFIX:
        return path
    if path.exists() or not _NAME.fullmatch(name):
        return None
    return fetch(find_entry(name))


def entries() -> dict[str, Entry]:
    """The entries of all indexes by name, sorted."""
    found = read(PACKAGE)
    if other := os.environ.get(VARIABLE):
        found |= read(other)
    return dict(sorted(found.items()))


def find_entry(name: str) -> Entry:
    """The entry of a name."""
    known = entries()
    if name not in known:
        raise ReleaseError(
            f"there is no workdir and no released model {name}; released models: "
            f"{', '.join(known)}"
        )
    return known[name]


def packaged_names(system: str | None = None) -> tuple[str, ...]:
    """Names of the models whose files come with this package, sorted.

    Args:
      system: whose models; None for those of all systems.
    """
    return tuple(
        name
        for name, entry in sorted(read(PACKAGE).items())
        if entry.sha256 and system in (None, entry.facts["system"])
    )


def read(folder: str | os.PathLike) -> dict[str, Entry]:
    """Read the index of a folder or web address."""
    address = os.fspath(folder).rstrip("/")
    tree = _web_index(address) if _is_web(address) else _local_index(address)
    if tree.get("format_version") != _FORMAT_VERSION:
        raise ReleaseError(
            f"the index in {address} has the format version "
            f"{tree.get('format_version')!r}, and this vgg_unpool_jax reads "
            f"{_FORMAT_VERSION} only"
        )
    # Indexes of earlier releases list "decoders".
    models = tree.get("models") or tree.get("decoders") or {}
    return {name: _entry(address, name, models[name]) for name in models}


def _entry(address: str, name: str, facts: Any) -> Entry:
    facts = dict(facts) if isinstance(facts, Mapping) else {}
    file, sha256 = str(facts.pop("file", "")), facts.pop("sha256", None)
    # A file name with folders in it could write anywhere.
    if not _FILE_NAME.fullmatch(file) or not _NAME.fullmatch(name):
        raise ReleaseError(
            f"the index in {address} has the name {name!r} with the file {file!r}, "
            f"expected a name such as vgg19-block1 and a file name ending in {SUFFIX}"
        )
    return Entry(name, file, sha256, facts.pop("address", "") or address, facts)


def locate(entry: Entry) -> tuple[pathlib.Path | None, str]:
    """The hash-checked file of an entry on this machine, and where it is.

    Returns:
      The file or None; "package", "folder", "cache", the address from which it is
      downloaded, or "not published".
    """
    if entry.sha256 is None:
        return None, "not published"
    if _is_web(entry.address):
        path = _cache(entry) / entry.file
        is_whole = path.is_file() and file_digest(path) == entry.sha256
        return (path, "cache") if is_whole else (None, entry.address)
    path = local_path(entry.address) / entry.file
    if not path.is_file():
        return None, entry.address
    if (found := file_digest(path)) != entry.sha256:
        raise ReleaseError(
            f"{path} has the SHA-256 {found}, and the index says {entry.sha256}: "
            "restore the file or register it again"
        )
    return path, "package" if path.parent == PACKAGE else "folder"


def fetch(entry: Entry) -> pathlib.Path:
    """The hash-checked file of an entry, downloaded into the cache if necessary."""
    path, address = locate(entry)
    if path is not None:
        return path
    if entry.sha256 is None:
        raise ReleaseUnavailableError(
            f"the model {entry.name} is not published yet: "
            f"{entry.facts.get('remedy', 'train it')}, name its file, or set "
            f"{VARIABLE} to a folder that has it"
        )
    url = f"{address.rstrip('/')}/{entry.file}"
    if not _is_web(address):
        raise ReleaseUnavailableError(
            f"the model {entry.name} is not at {url}: name its file, or put it there"
        )
    return _download(url, entry.sha256, _cache(entry))


def register(
    file: str | os.PathLike,
    *,
    results: Mapping[str, Any] | None = None,
    licence: str | None = None,
    address: str = "",
) -> Entry:
    """Enter a release into the index of its folder, so that others load it by name.

    Args:
      file: of the release; its name without the suffix becomes the model's name.
      results: content of the result file of its evaluation. None keeps the metrics of
        an earlier entry of the same file.
      licence: of the model; None takes the one in its facts, or of the earlier entry.
      address: folder or web address of the file if users do not find it beside the
        index.
    """
    file = local_path(file)
    folder, metadata = str(file.parent), read_metadata(file)
    known = read(folder) if (file.parent / FILE).exists() else {}
    sha256, earlier = file_digest(file), known.get(file.stem)
    facts = {
        "size": file.stat().st_size,
        **{key: metadata[key] for key in ("system", "step", "dtype", "pretrained")},
        "licence": licence or metadata["facts"].get("licence"),
    }
    if earlier is not None and earlier.sha256 == sha256:
        kept = ("licence", "metrics", "evaluated_on")
        found = {key: earlier.facts[key] for key in kept if key in earlier.facts}
        facts |= {key: value for key, value in found.items() if not facts.get(key)}
    if results is not None:
        facts |= _measured(metadata, results)
    entry = _entry(folder, file.stem, {"file": file.name, "sha256": sha256, **facts})
    known[file.stem] = dataclasses.replace(entry, address=address or folder)
    models = {}
    for name, other in sorted(known.items()):
        models[name] = {"file": other.file, "sha256": other.sha256, **other.facts}
        if other.address != folder:
            models[name]["address"] = other.address
    tree = {"format_version": _FORMAT_VERSION, "models": models}
    json_file.write(file.parent / FILE, tree)
    return known[file.stem]


def _measured(
    metadata: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[str, Any]:
    from vgg_unpool_jax.releases.card import check_results

    check_results(metadata, results)
    keys = ("source", "crop", "image_size", "damage")
    about = {k: results[k] for k in keys if k in results}
    if "source" in about:
        about["source"] = without_folders(str(about["source"]))
    # A run is measured before its parameters are rounded for the file.
    of_file = "released_decoder" in results or metadata["dtype"] == "float32"
    return {
        "metrics": dict(results["metrics"]),
        "evaluated_on": {**about, "of_this_file": of_file},
    }


def known_results(entry: Entry) -> dict[str, Any] | None:
    """The metrics of an entry as the result file of an evaluation has them, or None."""
    if not entry.facts.get("metrics"):
        return None
    steps = entry.facts["step"]
    results = {"metrics": entry.facts["metrics"], "training_steps": steps}
    return results | entry.facts.get("evaluated_on", {})


def _is_web(address: str) -> bool:
    return address.startswith(_WEB)


def _cache(entry: Entry) -> pathlib.Path:
    # Files of one name from two indexes are kept apart.
    return cache_folder() / "decoders" / entry.sha256[:16]


def _local_index(folder: str | os.PathLike) -> dict[str, Any]:
    path = local_path(folder) / FILE
    return json_file.read(path, "an index of released models", refusal=ReleaseError)


# Downloaded once per process, so that a name keeps its meaning in it.
@functools.cache
def _web_index(address: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="vgg_unpool_jax-") as folder:
        _download(f"{address}/{FILE}", None, pathlib.Path(folder))
        return _local_index(folder)


def _download(url: str, sha256: str | None, folder: pathlib.Path) -> pathlib.Path:
    path = folder / url.rsplit("/", 1)[1]
    download_file(
        url,
        path,
        sha256,
        what="the file",
        remedy=f"name the file of a released model, or set {VARIABLE} to a folder",
        refusal=ReleaseError,
        unavailable=ReleaseUnavailableError,
    )
    return path
