"""Compress photos with a learned codec.

    python -m vgg_unpool_jax compress --codec=NAME --input=FILE_OR_FOLDER \
        --output=FOLDER

Writes a file with the input's name and the extension .vuc for each photo, and prints
its bytes, bits per pixel, the PSNR of the decoded photo and the seconds. NAME is a
released codec or the workdir of a training run; of a compressive autoencoder, the
quality is the number of bits of each value, which are written without entropy coding.
"""

import time

import numpy as np
from absl import flags

from experiments.cli import command
from experiments.cli.each import for_each
from vgg_unpool_jax.data.photo_files import PhotoFile, list_photo_files
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.systems.codec.bitstream import SUFFIX
from vgg_unpool_jax.systems.saved import model_files

_CODEC = flags.DEFINE_string("codec", None, "Released codec, or folder of a run.")
_INPUT = flags.DEFINE_string("input", None, "A photo, or a folder (searched in depth).")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the compressed photos.")
_QUALITY = flags.DEFINE_integer(
    "quality", None, "From 1, the smallest files; default is the middle one."
)
_EFFORT = flags.DEFINE_integer(
    "effort",
    0,
    "How often a codec changes its integers for smaller files and less error; 10 have "
    "most of the gain.",
    lower_bound=0,
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.systems.codec.trained import load_compressor

    photos = list_photo_files(_INPUT.value, _OUTPUT.value)
    outputs = [photo.output.with_suffix(SUFFIX) for photo in photos]
    check_outputs(outputs, [*model_files(_CODEC.value), *(p.path for p in photos)])
    codec = load_compressor(_CODEC.value)
    quality = codec.quality(_QUALITY.value)
    for_each(photos, lambda photo: _compress(codec, quality, photo))


def _compress(codec, quality: int, photo: PhotoFile) -> str:
    began = time.perf_counter()
    pixels = photo.read()
    grey = bool((pixels == pixels[..., :1]).all())
    content = codec.compress(pixels, quality, grey=grey, effort=_EFFORT.value)
    seconds = time.perf_counter() - began
    error = codec.decompress(content).astype(np.float64) - pixels
    psnr = 10 * np.log10(255**2 / max(np.mean(np.square(error)), 1e-3))
    output = photo.output.with_suffix(SUFFIX)
    with replacing(output) as file:
        file.write(content)
    rate = 8 * len(content) / (pixels.shape[0] * pixels.shape[1])
    return (
        f"{output} {len(content):,} bytes, {rate:.3f} bits per pixel, "
        f"PSNR {psnr:.2f} dB, {seconds:.2f} s"
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["codec", "input", "output"])
    command.run(main)
