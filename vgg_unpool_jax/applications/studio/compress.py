"""A learned codec beside JPEG, WebP and AVIF at the same number of bytes."""

import dataclasses
import functools
from typing import Any

import numpy as np

from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.measures import Measures, measure
from vgg_unpool_jax.data.formats import is_built
from vgg_unpool_jax.systems.codec.equal_size import compress_to
from vgg_unpool_jax.systems.codec.rate_distortion import pillow_methods

# The names of `pillow_methods` that are shown, and what Pillow calls their formats.
_BESIDE = {"JPEG 4:2:0": "JPEG", "WebP": "WEBP", "AVIF": "AVIF"}


@dataclasses.dataclass(frozen=True, eq=False)
class Compressed:
    """A photo as a codec left it.

    Attributes:
      codec: its name.
      setting: of the codec.
      content: the file.
      image: decoded, uint8 (h, w, 3).
      measures: against the photo.
    """

    codec: str
    setting: int
    content: bytes
    image: np.ndarray
    measures: Measures

    @property
    def bits_per_pixel(self) -> float:
        """Of the whole file."""
        return 8 * len(self.content) / (self.image.shape[0] * self.image.shape[1])

    def __str__(self):
        """One line for people."""
        return (
            f"{len(self.content):,} bytes, {self.bits_per_pixel:.3f} bpp, "
            f"PSNR {self.measures.psnr:.2f} dB"
        )


def compress(codec: Any, photo: np.ndarray, quality: int, job: Job) -> Compressed:
    """Compress a photo with a trained codec.

    Args:
      codec: see `load_compressor`.
      photo: uint8 (h, w, 3).
      quality: of the codec, from 1.
      job: the work.
    """
    job.say(0.0, "compressing")
    grey = bool((photo == photo[..., :1]).all())
    content = codec.compress(photo, quality, grey=grey)
    job.say(0.2, "decoding")
    image = codec.decompress(content)
    name = getattr(codec, "name", "codec")
    return Compressed(name, quality, content, image, measure(image, photo))


def beside(photo: np.ndarray, size: int, job: Job) -> list[Compressed]:
    """Other codecs at the best setting that needs no more than `size` bytes.

    A codec whose smallest file is larger is shown with that one.
    """
    methods = [
        method
        for method in pillow_methods()
        if method.name in _BESIDE and is_built(_BESIDE[method.name])
    ]
    found = []
    for number, method in enumerate(methods):
        share = 0.3 + 0.7 * number / len(methods)
        step = functools.partial(job.say, share, method.name)
        setting, content = compress_to(method, photo, size, step)
        image = method.decompress(content)
        name = method.name.split()[0]
        found.append(Compressed(name, setting, content, image, measure(image, photo)))
    return found
