"""Converters between window codes and the switch layouts of other programs.

Inside the library switches are uint8 codes inside the window (see `ops/pooling.py`).
Other programs use int64 positions in the unpooled image of shape (n, h, w, c):

* TensorFlow (`tf.nn.max_pool_with_argmax`): `(y * w + x) * c + channel`, with
  `include_batch_in_index=True` plus `photo * h * w * c`.
* torch (`max_pool2d(return_indices=True)`, NCHW): `y * w + x` in each plane.
* The published VGG19 unpooling collection: a list of coordinates
  (photo, y, x, channel), one row per pooled value in row-major NHWC order. Its shape
  for the pools of blocks 1 to 4 is (n·H·W·16, 4), (n·H·W·8, 4), (n·H·W·4, 4) and
  (n·H·W·2, 4), where H × W is the size of the photo.

Everything here is NumPy on the host (flat indices need 64 bits, which JAX disables by
default) and checked: indices of a wrong type, outside the image or outside their own
window raise `ValueError`.
"""

from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.ops.pooling import check_codes
from vgg_unpool_jax.ops.windows import Padding, WindowGrid, make_grid

_TWO_BY_TWO = (2, 2)


def codes_to_tensorflow(
    switches,
    image_shape: Sequence[int],
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
    *,
    include_batch_in_index: bool = False,
) -> np.ndarray:
    """Window codes to the flat index of `tf.nn.max_pool_with_argmax`.

    Args:
      switches: (n, h', w', c) uint8 codes.
      image_shape: (n, h, w, c) of the image that was pooled.
      window: the window that pooled.
      strides: its strides.
      padding: its padding.
      include_batch_in_index: TensorFlow's argument of that name.

    Returns:
      (n, h', w', c) int64.
    """
    photo, rows, columns, channel = _positions(
        switches, image_shape, window, strides, padding
    )
    _, height, width, channels = image_shape
    flat = (rows * width + columns) * channels + channel
    if include_batch_in_index:
        flat = flat + photo * (height * width * channels)
    return flat


def tensorflow_to_codes(
    indices,
    image_shape: Sequence[int],
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
    *,
    include_batch_in_index: bool = False,
) -> np.ndarray:
    """Inverse of `codes_to_tensorflow`: (n, h', w', c) integers to uint8 codes.

    With "SAME" padding, where padding is the maximum of a window of negative values,
    TensorFlow clamps the index into the unpadded image; such an index may point into
    another window and is then refused like any other index outside its window.
    """
    grid, indices = _check_indices(indices, image_shape, window, strides, padding)
    n, height, width, channels = image_shape
    per_photo = height * width * channels
    limit = per_photo * n if include_batch_in_index else per_photo
    _check_range(indices, limit)
    photo = np.arange(n).reshape(-1, 1, 1, 1)
    if include_batch_in_index:
        _check_axis("photo", indices // per_photo, photo)
        indices = indices % per_photo
    _check_axis("channel", indices % channels, np.arange(channels))
    position = indices // channels
    return _codes_at(position // width, position % width, grid)


def codes_to_torch(
    switches,
    image_shape: Sequence[int],
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
) -> np.ndarray:
    """Window codes to torch's per-plane index, NCHW.

    Args:
      switches: (n, h', w', c) uint8 codes.
      image_shape: (n, h, w, c) of the image that was pooled, in NHWC.
      window: the window that pooled.
      strides: its strides.
      padding: its padding.

    Returns:
      (n, c, h', w') int64.
    """
    _, rows, columns, _ = _positions(switches, image_shape, window, strides, padding)
    return np.ascontiguousarray(
        np.transpose(rows * image_shape[2] + columns, (0, 3, 1, 2))
    )


def torch_to_codes(
    indices,
    image_shape: Sequence[int],
    window: Sequence[int] = _TWO_BY_TWO,
    strides: Sequence[int] = _TWO_BY_TWO,
    padding: Padding = "VALID",
) -> np.ndarray:
    """Inverse of `codes_to_torch`: (n, c, h', w') integers to (n, h', w', c) uint8."""
    indices = np.asarray(indices)
    if indices.ndim != 4:
        raise ValueError(
            "indices must have the four axes (n, channels, height, width), got shape "
            f"{indices.shape}"
        )
    grid, indices = _check_indices(
        np.transpose(indices, (0, 2, 3, 1)), image_shape, window, strides, padding
    )
    width = image_shape[2]
    _check_range(indices, image_shape[1] * width)
    return _codes_at(indices // width, indices % width, grid)


def codes_to_coordinates(switches, image_shape: Sequence[int]) -> np.ndarray:
    """Window codes of a 2×2 pooling to the published collection's coordinate list.

    Args:
      switches: (n, h/2, w/2, c) uint8 codes.
      image_shape: (n, h, w, c) of the image that was pooled.

    Returns:
      (n·h/2·w/2·c, 4) int64 rows (photo, y, x, channel), ready for `tf.scatter_nd`.
    """
    positions = _positions(switches, image_shape, _TWO_BY_TWO, _TWO_BY_TWO, "VALID")
    shape = np.shape(switches)
    return np.stack([np.broadcast_to(p, shape).ravel() for p in positions], axis=-1)


def coordinates_to_codes(coordinates, image_shape: Sequence[int]) -> np.ndarray:
    """Inverse of `codes_to_coordinates`.

    Args:
      coordinates: (n·h/2·w/2·c, 4) integers, rows in row-major order of the pooled
        array.
      image_shape: (n, h, w, c) of the image that was pooled, h and w even.

    Returns:
      (n, h/2, w/2, c) uint8.
    """
    image_shape = _check_image_shape(image_shape)
    n, height, width, channels = image_shape
    grid = make_grid((height, width), _TWO_BY_TWO, _TWO_BY_TWO, "VALID")
    shape = (n, *grid.pooled_size, channels)
    coordinates = _as_integers("coordinates", coordinates)
    if coordinates.shape != (int(np.prod(shape)), 4):
        raise ValueError(
            f"coordinates for images of shape {image_shape} must have shape "
            f"{(int(np.prod(shape)), 4)}, got {coordinates.shape}"
        )
    photo, rows, columns, channel = (
        coordinates[:, axis].reshape(shape) for axis in range(4)
    )
    _check_axis("photo", photo, np.arange(n).reshape(-1, 1, 1, 1))
    _check_axis("channel", channel, np.arange(channels))
    return _codes_at(rows, columns, grid)


# --- shared checks --------------------------------------------------------------------


def _as_integers(name: str, array) -> np.ndarray:
    array = np.asarray(array)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    return array.astype(np.int64)


def _check_image_shape(image_shape) -> tuple[int, int, int, int]:
    shape = tuple(int(v) for v in image_shape)
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(
            "image_shape must be (n, height, width, channels), all positive, got "
            f"{tuple(image_shape)}"
        )
    return shape


def _grid_for(name, shape, image_shape, window, strides, padding) -> WindowGrid:
    n, height, width, channels = _check_image_shape(image_shape)
    grid = make_grid((height, width), window, strides, padding)
    wanted = (n, *grid.pooled_size, channels)
    if tuple(shape) != wanted:
        raise ValueError(
            f"{name} for images of shape {(n, height, width, channels)} must have "
            f"shape {wanted} (NHWC), got {tuple(shape)}"
        )
    return grid


def _check_indices(indices, image_shape, window, strides, padding):
    indices = _as_integers("indices", indices)
    grid = _grid_for("indices", indices.shape, image_shape, window, strides, padding)
    return grid, indices


def _check_range(indices, limit) -> None:
    wrong = (indices < 0) | (indices >= limit)
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} indices lie outside 0 to {limit - 1}, the first is "
            f"{int(indices[wrong][0])}"
        )


def _check_axis(axis: str, came, wanted) -> None:
    wrong = came != wanted
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} indices have another {axis} than their own, the first "
            f"is {int(came[wrong][0])} where "
            f"{int(np.broadcast_to(wanted, came.shape)[wrong][0])} was expected"
        )


def _window_starts(grid: WindowGrid):
    tops, lefts = grid.starts
    return tops.reshape(1, -1, 1, 1), lefts.reshape(1, 1, -1, 1)


def _codes_at(rows, columns, grid: WindowGrid) -> np.ndarray:
    tops, lefts = _window_starts(grid)
    down, right = rows - tops, columns - lefts
    height, width = grid.image_size
    wrong = (down < 0) | (down >= grid.window[0]) | (rows < 0) | (rows >= height)
    wrong |= (right < 0) | (right >= grid.window[1]) | (columns < 0)
    wrong |= columns >= width
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} indices lie outside their own "
            f"{grid.window[0]}×{grid.window[1]} window, the first at row "
            f"{int(rows[wrong][0])}, column {int(columns[wrong][0])}"
        )
    return (down * grid.window[1] + right).astype(np.uint8)


def _positions(switches, image_shape, window, strides, padding):
    """(photo, row, column, channel) int64 arrays that broadcast to the switches."""
    switches = np.asarray(switches)
    if switches.dtype != np.uint8:
        raise ValueError(f"switches must be uint8 window codes, got {switches.dtype}")
    grid = _grid_for("switches", switches.shape, image_shape, window, strides, padding)
    check_codes(switches, grid.window)
    codes = switches.astype(np.int64)
    tops, lefts = _window_starts(grid)
    rows, columns = tops + codes // grid.window[1], lefts + codes % grid.window[1]
    height, width = grid.image_size
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} switches point into the padding, outside the image "
            f"of {height}×{width}"
        )
    n, channels = switches.shape[0], switches.shape[3]
    return (
        np.arange(n, dtype=np.int64).reshape(-1, 1, 1, 1),
        rows,
        columns,
        np.arange(channels, dtype=np.int64),
    )
