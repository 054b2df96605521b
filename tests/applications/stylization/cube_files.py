"""Reads the .cube files that the library writes."""

import numpy as np


def read_cube(path):
    """float32 (n, n, n, 3) RGB in [0, 255] by red, green, blue."""
    _, size, *rows = path.read_text().splitlines()
    values = np.array([row.split() for row in rows], np.float32)
    table = values.reshape(*[int(size.split()[1])] * 3, 3)
    return 255 * table.transpose(2, 1, 0, 3)
