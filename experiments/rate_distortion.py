"""Rate and distortion of a codec beside JPEG, JPEG 2000, WebP and AVIF.

    python -m vgg_unpool_jax rate_distortion --codec=NAME --photos=folder:PHOTOS \
        --output=FOLDER

Every number is of files that were compressed and decoded again; rates are of whole
files, and without the container of each format. Writes results.json, table.md, plot.png
and pictures.png, the first photos in files of the same size.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.perceptual_flag import define_perceptual, load_perceptual
from experiments.cli.unused import note_unused
from vgg_unpool_jax.data import (
    Crop,
    Source,
    check_crop,
    make_crop,
    make_source,
    source_files,
)
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.metrics import missing_metrics, photo_ms_ssim
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.systems.codec.rate_distortion import (
    measure,
    pillow_methods,
    trained_method,
)
from vgg_unpool_jax.systems.saved import model_files
from vgg_unpool_jax.training.progress import follow

_FILES = ("results.json", "table.md", "plot.png", "pictures.png")

_CODEC = flags.DEFINE_string("codec", None, "Released codec, or folder of a run.")
_PHOTOS = flags.DEFINE_string(
    "photos", None, "Photos: folder:PATH, zip:PATH, tfds:NAME[:SPLIT] or samples."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_CROP = flags.DEFINE_string(
    "crop", "whole", "whole, center, center_resize or center_resize:PIXELS."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", 128, "Side of crops other than whole ones.", lower_bound=1
)
_COUNT = flags.DEFINE_integer(
    "count", 0, "Number of photos, from the first on; 0: all.", lower_bound=0
)
_EFFORT = flags.DEFINE_integer(
    "effort",
    0,
    "Measure the codec with this effort too, see compress.",
    lower_bound=0,
)
_PUBLISHED = flags.DEFINE_bool(
    "published", False, "Draw published curves of JPEG and JPEG 2000, of other photos."
)
_PICTURES = flags.DEFINE_integer(
    "pictures", 3, "Photos of pictures.png.", lower_bound=1
)
_AT = flags.DEFINE_float(
    "at", 0.5, "Bits per pixel of pictures.png, nearly.", lower_bound=0.01
)
_PERCEPTUAL = define_perceptual("perceptual")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.evaluation.pictures import save_png
    from vgg_unpool_jax.evaluation.provenance import provenance
    from vgg_unpool_jax.evaluation.results import write_results
    from vgg_unpool_jax.systems.codec import curves, equal_size
    from vgg_unpool_jax.systems.codec.trained import load_compressor

    output = output_folder(_OUTPUT.value)
    source = make_source(_PHOTOS.value)
    writes = [output / name for name in _FILES]
    check_outputs(writes, [*model_files(_CODEC.value), *source_files(source)])
    check_crop(_CROP.value, allow_random=False)
    if is_whole := _CROP.value == "whole":
        note_unused("photos are taken whole", "image_size")
    crop = make_crop(_CROP.value, _IMAGE_SIZE.value)
    count = min(_COUNT.value or len(source), len(source))
    photos = [_cut(crop, source, index) for index in range(count)]
    codec = load_compressor(_CODEC.value)
    metrics = _metrics(photos)
    efforts = dict.fromkeys([_EFFORT.value, 0])
    methods = [*(trained_method(codec, e) for e in efforts), *pillow_methods()]
    measured = {
        method.name: measure(method, photos, metrics, follow) for method in methods
    }
    tables = [curves.table(measured, metric) for metric in ("psnr", *metrics)]
    table = "\n".join(tables)
    print(table)
    with replacing(output / "table.md") as file:
        file.write(table.encode())
    curves.plot(measured, output / "plot.png", published=_PUBLISHED.value)
    # Of the codec with its effort, if any, and of each other format once.
    shown = [methods[0], *pillow_methods()]
    picture = equal_size.page(shown, photos[: _PICTURES.value], _AT.value)
    save_png(output / "pictures.png", picture)
    facts = {
        "photos": count,
        "source": _PHOTOS.value,
        "crop": _CROP.value,
        "image_size": None if is_whole else _IMAGE_SIZE.value,
        "codec": codec.describe(),
        "model_hash": codec.model_hash.hex(),
        **curves.numbers(measured, ("psnr", *metrics)),
        "provenance": provenance(codec.config),
    }
    write_results(output / "results.json", facts)


def _cut(crop: Crop, source: Source, index: int) -> np.ndarray:
    photo = source[index]
    if not crop.fits(photo.shape):
        size = "×".join(map(str, photo.shape[:2]))
        raise PhotoError(f"{source.name(index)} is too small for the crop: {size}")
    return np.asarray(crop.cut(photo))


def _metrics(photos: Sequence[np.ndarray]) -> dict[str, Callable]:
    """The metrics beside the PSNR that are defined for all photos."""
    sides = [photo.shape[:2] for photo in photos]
    found = {}
    if not any("ms_ssim" in missing_metrics(*side) for side in sides):
        found["ms_ssim"] = photo_ms_ssim
    for metric in load_perceptual(_PERCEPTUAL.value):
        if all(metric.fits(*side) for side in sides):
            found[metric.name] = metric
    return {name: functools.partial(_of_one, each) for name, each in found.items()}


def _of_one(metric: Callable, decoded: np.ndarray, photo: np.ndarray) -> float:
    arrays = (array[None].astype(np.float32) for array in (decoded, photo))
    return float(metric(*arrays)[0])


if __name__ == "__main__":
    flags.mark_flags_as_required(["codec", "photos", "output"])
    command.run(main)
