"""Model folders, and the Hugging Face Hub as a place for them.

A model folder holds the file of a release as `model.safetensors`, its model card as
`README.md`, and the metadata of the release as `config.json`, by which the Hub counts
downloads. Cache, credentials and server are those of huggingface_hub: HF_HOME,
HF_TOKEN, HF_ENDPOINT.
"""

import functools
import json
import os
import pathlib
import re

from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError, first_line
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import read_bytes, to_path
from vgg_unpool_jax.releases.file import read, read_metadata

MODEL_FILE = "model.safetensors"
FILES = (MODEL_FILE, "README.md", "config.json")

_SCHEME = "hf:"
_SPEC = re.compile(r"hf:(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")


def is_spec(target: str) -> bool:
    """Whether a model on the Hub is meant: "hf:OWNER/NAME"."""
    return target.startswith(_SCHEME)


def download(spec: str) -> pathlib.Path:
    """The file of a release on the Hub, downloaded if the Hub's cache lacks it.

    Args:
      spec: "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION".
    """
    return _download(*_parse(spec), os.environ.get("HF_ENDPOINT"))


def _parse(spec: str) -> tuple[str, str | None]:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ReleaseError(
            f"{spec!r} names no model of the Hugging Face Hub: write hf:OWNER/NAME or "
            "hf:OWNER/NAME@REVISION"
        )
    return match.groups()


# Asked once per process: the results of an evaluation name the file that was evaluated,
# even if a branch on the Hub moves meanwhile.
@functools.cache
def _download(repository: str, revision: str | None, endpoint: str | None):
    import huggingface_hub

    try:
        path = huggingface_hub.hf_hub_download(
            repository, MODEL_FILE, revision=revision, endpoint=endpoint
        )
    # Its exceptions are of several packages without a base.
    except Exception as error:
        raise ReleaseUnavailableError(
            f"{_SCHEME}{repository} is unavailable on the Hugging Face Hub "
            f"({first_line(error)}): name a folder or a file"
        ) from error
    return pathlib.Path(path)


def write_model_folder(
    file: str | os.PathLike, folder: str | os.PathLike, card: str
) -> list[pathlib.Path]:
    """Write a model folder.

    Args:
      file: of a release; it is copied as it is.
      folder: to write; existing files of these names are replaced.
      card: the model card, see `card.model_card`.

    Returns:
      The three files.
    """
    folder, metadata = to_path(folder), read_metadata(file)
    others = [name for name in FILES[1:] if (folder / name).exists()]
    if others and not (folder / MODEL_FILE).exists():
        raise ReleaseError(
            f"{folder} holds a {others[0]} of something else, such as a training run: "
            "name another folder"
        )
    config = {"library_name": "vgg_unpool_jax", **metadata}
    contents = (read_bytes(to_path(file)), card.encode(), json.dumps(config).encode())
    for name, content in zip(FILES, contents, strict=True):
        with replacing(folder / name) as output:
            output.write(content)
    return [folder / name for name in FILES]


def upload(
    folder: str | os.PathLike,
    spec: str,
    *,
    private: bool = False,
    dry_run: bool = False,
) -> None:
    """Upload a model folder as one commit; a missing repository is created.

    Args:
      folder: as `write_model_folder` makes it; it is checked first.
      spec: "hf:OWNER/NAME" or "hf:OWNER/NAME@BRANCH".
      private: whether a repository that is created is private.
      dry_run: check the folder and send nothing.
    """
    import huggingface_hub

    repository, revision = _parse(spec)
    folder = to_path(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise ReleaseError(f"{folder} is no model folder: it has no {name}")
    read(folder / MODEL_FILE)
    if dry_run:
        return
    try:
        api = huggingface_hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            revision=revision,
            allow_patterns=list(FILES),
            commit_message="Model of vgg_unpool_jax",
        )
    except Exception as error:  # as in `_download`
        raise ReleaseError(
            f"{folder} cannot be uploaded to {spec} ({first_line(error)})"
        ) from error
