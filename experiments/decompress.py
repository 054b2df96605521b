"""Decode photos that `compress` wrote.

    python -m vgg_unpool_jax decompress --input=FILE_OR_FOLDER --output=FOLDER

Writes a PNG for each .vuc file. The codec is found by its hash in the file among the
released ones; --codec names another, such as the workdir of a training run.
"""

import pathlib

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each
from vgg_unpool_jax.data.decode import shown_name
from vgg_unpool_jax.errors import PhotoError, SourceError, first_line
from vgg_unpool_jax.evaluation.pictures import save_png
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.systems.codec import bitstream
from vgg_unpool_jax.systems.codec.trained import CodecByHash
from vgg_unpool_jax.systems.saved import model_files

_INPUT = flags.DEFINE_string("input", None, "A .vuc file, or a folder of them.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the PNG files.")
_CODEC = flags.DEFINE_string("codec", None, "The codec; default is named by the file.")
_KEEP_DAMAGED = flags.DEFINE_bool(
    "keep_damaged", False, "Decode damaged tiles of large photos as grey."
)


def main() -> None:
    """Run the command."""
    files, output = _files(), output_folder(_OUTPUT.value)
    writes = [output / file.with_suffix(".png") for _, file in files]
    models = [] if _CODEC.value is None else model_files(_CODEC.value)
    check_outputs(writes, [*models, *(path for path, _ in files)])
    codecs = CodecByHash(_CODEC.value)

    def work(pair) -> str:
        path, target = pair
        photo = _decompress(codecs, path)
        save_png(target, photo)
        return f"{target} {photo.shape[0]}×{photo.shape[1]}"

    pairs = zip((path for path, _ in files), writes, strict=True)
    for_each(list(pairs), work, "files could not be decoded")


def _decompress(codecs: CodecByHash, path: pathlib.Path) -> np.ndarray:
    name = shown_name(str(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PhotoError(
            f"{name} cannot be read ({error.strerror or first_line(error)})"
        ) from error
    head, _ = bitstream.read_head(content, name)
    codec = codecs.find(head.model, name)
    return codec.decompress(content, name=name, keep_damaged=_KEEP_DAMAGED.value)


def _files() -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Files, and their names below the input."""
    source = to_path(_INPUT.value)
    if source.is_file():
        return [(source, pathlib.Path(source.name))]
    found = sorted(source.rglob(f"*{bitstream.SUFFIX}")) if source.is_dir() else []
    if not found:
        raise SourceError(f"there is no {bitstream.SUFFIX} file at {source}")
    return [(path, path.relative_to(source)) for path in found]


if __name__ == "__main__":
    flags.mark_flags_as_required(["input", "output"])
    command.run(main)
