"""Colours of strokes, spread over what has a similar luminance.

A network follows single known colours as far as it has learned to. What a user painted
is a demand: the difference between it and the predicted chroma is spread to neighbours
of a similar luminance, and fades with the distance.

Source: Levin, Lischinski and Weiss, "Colorization using optimization", SIGGRAPH 2004;
here for the difference to a prediction, with a term that keeps it small.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

# Neighbours are alike whose luminance differs by less than the first, in L. The
# second keeps the difference small: in even areas it falls to 1/e in 16 positions.
_SPREAD, _FADING = 4.0, 0.004
_DEMAND = 100.0


def spread_strokes(
    chroma: np.ndarray, known: np.ndarray, luminance: np.ndarray
) -> np.ndarray:
    """Chroma that agrees with strokes, (h, w, 2) float32.

    Args:
      chroma: (h, w, 2) that was predicted.
      known: (h, w, 3), a and b of the strokes, and 1 where they are.
      luminance: (h, w) in [0, 100].
    """
    height, width = luminance.shape
    places = np.arange(height * width).reshape(height, width)
    pairs = [
        (places[:, :-1].ravel(), places[:, 1:].ravel()),
        (places[:-1].ravel(), places[1:].ravel()),
    ]
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    values = luminance.ravel().astype(np.float64)
    likeness = np.exp(-np.square((values[first] - values[second]) / _SPREAD) / 2)
    shape = (values.size, values.size)
    links = sparse.coo_array((likeness, (first, second)), shape)
    links = (links + links.T).tocsr()
    mask = known[..., 2].ravel().astype(np.float64)
    diagonal = links.sum(axis=1) + _FADING + _DEMAND * mask
    wanted = _DEMAND * mask[:, None] * (known[..., :2] - chroma).reshape(-1, 2)
    system = sparse.csc_array(sparse.diags_array(diagonal) - links)
    difference = spsolve(system, wanted).reshape(chroma.shape)
    return (chroma + difference).astype(np.float32)
