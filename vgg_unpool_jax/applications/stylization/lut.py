"""A transfer as a 3D look-up table, for photo and video editors.

The table is fitted to a photo and its result: trilinear interpolation of its points
should give the result's colour for the photo's, and neighbouring points should differ
evenly where the photo has few colours or none (least squares of second differences).
It has what the transfer does to colours, and nothing of what depends on the place.

Source: the format .cube as Adobe's "Cube LUT Specification 1.0" has it: red changes
fastest, values are in [0, 1].
"""

import os

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg

from vgg_unpool_jax.errors import UserError, require_image
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.paths import to_path

# Points per side of the file, and of the coarser table that is fitted.
SIZE = 33
_FITTED = 17
_SAMPLES = 65536
_SMOOTHNESS = 3.0
SUFFIX = ".cube"


def fit_lut(photo, result, *, smoothness: float = _SMOOTHNESS) -> np.ndarray:
    """Fit a table to a photo and its result.

    Args:
      photo: (h, w, 3) RGB in [0, 255].
      result: the same shape and range.
      smoothness: weight of the second differences beside that of the colours; positive.

    Returns:
      float32 (SIZE, SIZE, SIZE, 3) RGB in [0, 255] by red, green, blue.
    """
    for name, image in (("photo", photo), ("result", result)):
        require_image(name, np.asarray(image), 3)
    colors = np.asarray(photo, np.float64).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(colors))[:_SAMPLES]
    colors = colors[order]
    changes = np.asarray(result, np.float64).reshape(-1, 3)[order] - colors
    matrix = _weights(colors, _FITTED)
    normal = matrix.T @ matrix
    smooth = _second_differences(_FITTED)
    weight = smoothness * len(colors) / _FITTED**3
    # Points far from all colours tend to no change.
    tie = 1e-6 * len(colors) * scipy.sparse.identity(_FITTED**3)
    system = (normal + weight * smooth + tie).tocsc()
    solve = scipy.sparse.linalg.cg
    diagonal = scipy.sparse.diags_array(1.0 / system.diagonal())
    found = [
        solve(system, matrix.T @ changes[:, c], rtol=1e-5, maxiter=2000, M=diagonal)[0]
        for c in range(3)
    ]
    coarse = np.stack(found, axis=-1).reshape(_FITTED, _FITTED, _FITTED, 3)
    points = np.linspace(0, _FITTED - 1, SIZE)
    at = np.stack(np.meshgrid(points, points, points, indexing="ij"))
    fine = [
        scipy.ndimage.map_coordinates(coarse[..., c], at, order=1) for c in range(3)
    ]
    table = 255 / (_FITTED - 1) * np.moveaxis(at, 0, -1) + np.stack(fine, axis=-1)
    return np.clip(table, 0, 255).astype(np.float32)


def apply_lut(table: np.ndarray, photo) -> np.ndarray:
    """Map the colours of a photo by trilinear interpolation.

    Args:
      table: (n, n, n, 3) RGB in [0, 255] by red, green, blue.
      photo: (h, w, 3) RGB in [0, 255].

    Returns:
      float32 (h, w, 3).
    """
    photo = np.asarray(photo, np.float32)
    at = np.moveaxis(photo * ((len(table) - 1) / 255), -1, 0)
    mapped = [
        scipy.ndimage.map_coordinates(table[..., c], at, order=1, mode="nearest")
        for c in range(3)
    ]
    return np.stack(mapped, axis=-1).astype(np.float32)


def write_lut(path: str | os.PathLike, table: np.ndarray, title: str) -> None:
    """Write a .cube file, aside first and then renamed.

    Args:
      path: the file, ending in `.cube`.
      table: (n, n, n, 3) RGB in [0, 255] by red, green, blue.
      title: for editors, in one line.
    """
    if to_path(path).suffix.lower() != SUFFIX:
        raise UserError(f"a look-up table's file ends in {SUFFIX}, got {path}")
    title = title.replace('"', "'").replace("\n", " ")
    lines = [f'TITLE "{title}"', f"LUT_3D_SIZE {len(table)}"]
    # Red changes fastest.
    rows = np.asarray(table, np.float64).transpose(2, 1, 0, 3).reshape(-1, 3) / 255
    lines += [f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows]
    with replacing(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def _weights(colors, size):
    """(m, size³) sparse matrix of trilinear interpolation."""
    places = np.clip(colors, 0, 255) * ((size - 1) / 255)
    low = np.minimum(places.astype(int), size - 2)
    share = places - low
    rows, columns, values = [], [], []
    for corner in np.ndindex(2, 2, 2):
        at = low + corner
        rows.append(np.arange(len(colors)))
        columns.append((at[:, 0] * size + at[:, 1]) * size + at[:, 2])
        values.append(np.where(corner, share, 1 - share).prod(axis=1))
    parts = (np.concatenate(part) for part in (values, rows, columns))
    values, rows, columns = parts
    shape = len(colors), size**3
    return scipy.sparse.csr_array((values, (rows, columns)), shape)


def _second_differences(size):
    """(size³, size³): the quadratic form of second differences along each axis."""
    steps = np.diff(np.eye(size), n=2, axis=0)
    form, one = scipy.sparse.csr_array(steps.T @ steps), scipy.sparse.eye_array(size)
    kron = scipy.sparse.kron
    return (
        kron(kron(form, one), one)
        + kron(kron(one, form), one)
        + kron(kron(one, one), form)
    )
