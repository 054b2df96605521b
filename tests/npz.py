"""Arrays that another process saved."""

import os

import numpy as np


def load_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, which is closed."""
    with np.load(path) as arrays:
        return dict(arrays)
