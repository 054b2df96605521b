"""How well holes of a photo were closed, and what was done to the rest."""

import numpy as np


def split_psnr(
    restored: np.ndarray, photos: np.ndarray, holes: np.ndarray
) -> dict[str, np.ndarray]:
    """PSNR in dB of each photo, inside and outside of its holes and of all pixels.

    Args:
      restored: (n, h, w, 3) in [0, 255].
      photos: of the same shape.
      holes: (n, h, w), bool.

    Returns:
      Arrays (n,) by part; without "inside" and "outside" if there are no holes.
    """
    squares = np.square(restored.astype(np.float64) - photos).mean(-1)
    parts = {"inside": holes, "outside": ~holes, "all": np.ones_like(holes)}
    if not holes.any():
        parts = {"all": parts["all"]}
    means = {
        name: np.array([s[m].mean() for s, m in zip(squares, masks, strict=True)])
        for name, masks in parts.items()
    }
    with np.errstate(divide="ignore"):  # equal pixels
        return {name: 10 * np.log10(255**2 / mean) for name, mean in means.items()}
