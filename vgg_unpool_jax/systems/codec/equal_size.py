"""The same photos by several codecs in files of the same size, side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vgg_unpool_jax.evaluation.pictures import enlarge, picture_grid
from vgg_unpool_jax.systems.codec.rate_distortion import Method

# Pixels of a photo that are shown, from its centre, and the least side of a picture.
_SHOWN, _SIDE = 256, 256


def compress_to(
    method: Method,
    photo: np.ndarray,
    num_bytes: int,
    step: Callable[[], None] = lambda: None,
) -> tuple[Any, bytes]:
    """The largest file of a codec that is not larger than asked for.

    Args:
      method: the codec; its sizes rise over `Method.fine`.
      photo: uint8 (h, w, 3).
      num_bytes: largest size of the file. If all are larger, the smallest is taken.
      step: called before each further file that is tried.

    Returns:
      the setting, and the file.
    """
    low, high = 0, len(method.fine) - 1
    best = method.compress(photo, method.fine[0])
    while low < high:
        step()
        middle = (low + high + 1) // 2
        content = method.compress(photo, method.fine[middle])
        if len(content) <= num_bytes:
            low, best = middle, content
        else:
            high = middle - 1
    return method.fine[low], best


def page(
    methods: Sequence[Method], photos: Sequence[np.ndarray], bits_per_pixel: float
) -> np.ndarray:
    """A row for each photo: itself, then each codec at the size of the first one.

    Args:
      methods: codecs; the first one takes the setting with the size nearest to the
        wanted one, the others at most as many bytes.
      photos: uint8 (h, w, 3) each; the middle of larger ones is shown.
      bits_per_pixel: wanted.

    Returns:
      uint8 picture; above each part stand bytes and PSNR of the whole photo.
    """
    rows = []
    for photo in photos:
        wanted = bits_per_pixel * photo.shape[0] * photo.shape[1] / 8
        first, *others = methods
        files = [first.compress(photo, setting) for setting in first.settings]
        nearest = min(files, key=lambda file: abs(np.log(len(file) / wanted)))
        found = [(first, nearest)]
        for method in others:
            found.append((method, compress_to(method, photo, len(nearest))[1]))
        cells = {"photo": photo}
        for method, content in found:
            decoded = method.decompress(content)
            error = np.mean(np.square(decoded.astype(np.float64) - photo))
            psnr = 10 * np.log10(255**2 / max(error, 1e-3))
            title = f"{method.name}: {len(content):,} bytes, {psnr:.1f} dB"
            cells[title] = decoded
        rows.append(
            picture_grid({name: _shown(image) for name, image in cells.items()})
        )
    width = max(row.shape[1] for row in rows)
    padding = [[(0, 0), (0, width - row.shape[1]), (0, 0)] for row in rows]
    return np.concatenate(
        [
            np.pad(row, amounts, constant_values=255)
            for row, amounts in zip(rows, padding, strict=True)
        ]
    )


def _shown(image: np.ndarray) -> np.ndarray:
    """(1, h, w, 3), the middle of the image, enlarged if it is small."""
    top, left = (max(side - _SHOWN, 0) // 2 for side in image.shape[:2])
    part = image[top : top + _SHOWN, left : left + _SHOWN]
    return enlarge(part[None], max(1, _SIDE // max(part.shape[:2])))
