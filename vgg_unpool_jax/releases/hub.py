"""Model folders on the Hugging Face Hub, by its own package huggingface_hub.

The package is optional; its cache (HF_HOME), its credentials (HF_TOKEN) and its server
(HF_ENDPOINT) are those of its own documentation.
"""

import functools
import os
import pathlib
import re
import types

from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError, first_line
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.releases.model_config import FILES, find_model_file

SCHEME = "hf:"
INSTALL = "pip install huggingface_hub"

_SPEC = re.compile(r"hf:([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?")


def is_spec(target: str) -> bool:
    """Whether a model on the Hub is meant: "hf:OWNER/NAME"."""
    return target.startswith(SCHEME)


def download_repository(spec: str) -> pathlib.Path:
    """Folder with the files of a model, downloaded where the Hub's cache lacks them.

    Args:
      spec: "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION".
    """
    repository, revision = parse_spec(spec)
    return _snapshot(repository, revision, os.environ.get("HF_ENDPOINT"))


def parse_spec(spec: str) -> tuple[str, str | None]:
    """Owner and name of a model, and its revision."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ReleaseError(
            f"{spec!r} names no model of the Hugging Face Hub: write "
            "hf:OWNER/NAME or hf:OWNER/NAME@REVISION"
        )
    return match.groups()


# Asked once in a process: what is evaluated is what its results tell of, though a
# branch of the Hub may move in between.
@functools.cache
def _snapshot(repository: str, revision: str | None, endpoint: str | None):
    del endpoint  # part of the key: the package reads it when it is imported
    hub = _import_hub(f"{SCHEME}{repository}")
    try:
        folder = hub.snapshot_download(
            repository, revision=revision, allow_patterns=list(FILES)
        )
    # Its errors are of several packages without a base.
    except Exception as error:
        raise ReleaseUnavailableError(
            f"the model {SCHEME}{repository} cannot be had from the Hugging Face Hub "
            f"({first_line(error)}): name a folder or a file"
        ) from error
    return pathlib.Path(folder)


def upload_folder(
    folder: str | os.PathLike,
    spec: str,
    *,
    private: bool = False,
    dry_run: bool = False,
) -> list[str]:
    """Upload a model folder as one commit; a repository that is missing is made.

    Args:
      folder: as `write_model_folder` leaves it; it is checked first.
      spec: "hf:OWNER/NAME" or "hf:OWNER/NAME@BRANCH".
      private: of a repository that is made now.
      dry_run: check all that can be checked here, and send nothing.

    Returns:
      The paths in the repository that are, or would be, written.
    """
    repository, revision = parse_spec(spec)
    folder = to_path(folder)
    if not folder.is_dir():
        raise ReleaseError(f"there is no model folder {folder}")
    find_model_file(folder, is_model=True)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ReleaseError(f"{folder} has no {missing[0]}: write it again")
    if dry_run:
        return list(FILES)
    hub = _import_hub(spec)
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            revision=revision,
            allow_patterns=list(FILES),
            commit_message="Decoder of vgg_unpool_jax",
        )
    except Exception as error:  # as in _snapshot
        raise ReleaseError(
            f"{folder} cannot be uploaded to {spec} ({first_line(error)})"
        ) from error
    return list(FILES)


def _import_hub(spec: str) -> types.ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ReleaseUnavailableError(
            f"{spec} needs a package that is not installed: {INSTALL}"
        ) from error
    return huggingface_hub
