"""Geometry of pooling windows: sizes, padding and where each window starts.

Static shapes only; nothing here touches an image. Axes are (height, width).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

MAX_WINDOW_ELEMENTS = 256  # a switch is one byte

Size = tuple[int, int]
Padding = str | Sequence[Sequence[int]]


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """Where pooling windows lie over an image.

    Attributes:
      image_size: (height, width) of the unpooled image.
      pooled_size: (height, width) of the pooled image.
      window: (height, width) of one window.
      strides: (vertical, horizontal) distance of neighbouring windows.
      padding: ((top, bottom), (left, right)) rows and columns outside the image.
    """

    image_size: Size
    pooled_size: Size
    window: Size
    strides: Size
    padding: tuple[Size, Size]

    @property
    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """First row (h',) and first column (w',) of each window; < 0 in padding."""
        rows, columns = (
            np.arange(count) * stride - pads[0]
            for count, stride, pads in zip(
                self.pooled_size, self.strides, self.padding, strict=True
            )
        )
        return rows, columns

    @property
    def is_two_by_two(self) -> bool:
        """Whether windows are 2×2, disjoint and start inside the image."""
        return (
            self.window == (2, 2)
            and self.strides == (2, 2)
            and self.padding == ((0, 0), (0, 0))
        )


def check_window(window, strides) -> tuple[Size, Size]:
    """Return window and strides as pairs of positive ints or raise `ValueError`."""
    pairs = []
    for name, value in (("window", window), ("strides", strides)):
        try:
            pair = tuple(int(v) for v in value)
        except TypeError:
            pair = ()
        if len(pair) != 2 or min(pair) < 1 or any(v != int(v) for v in value):
            raise ValueError(
                f"{name} must be two positive integers (height, width), got {value!r}"
            )
        pairs.append(pair)
    (height, width), _ = pairs
    if height * width > MAX_WINDOW_ELEMENTS:
        raise ValueError(
            f"window {height}×{width} has {height * width} elements, but a uint8 "
            f"switch has at most {MAX_WINDOW_ELEMENTS} values"
        )
    return pairs[0], pairs[1]


def make_grid(image_size: Size, window, strides, padding: Padding) -> WindowGrid:
    """Lay windows over an image.

    Args:
      image_size: (height, width) of the image.
      window: (height, width) of a window.
      strides: (vertical, horizontal) step.
      padding: "VALID" (no padding, an incomplete last window is dropped), "SAME"
        (ceil(size / stride) windows, padding split evenly with an odd row at the end,
        as in TensorFlow) or ((top, bottom), (left, right)).

    Returns:
      The grid.
    """
    window, strides = check_window(window, strides)
    pads, counts = [], []
    for axis, name in enumerate(("height", "width")):
        size, extent, stride = image_size[axis], window[axis], strides[axis]
        before, after = _axis_padding(padding, axis, size, extent, stride)
        count = (size + before + after - extent) // stride + 1
        if size < 1 or count < 1:
            raise ValueError(
                f"images of {name} {size} (padding {before}+{after}) are smaller than "
                f"one window of {name} {extent}"
            )
        pads.append((before, after))
        counts.append(count)
    return WindowGrid(
        image_size=(int(image_size[0]), int(image_size[1])),
        pooled_size=(counts[0], counts[1]),
        window=window,
        strides=strides,
        padding=(pads[0], pads[1]),
    )


def _axis_padding(padding, axis, size, extent, stride) -> Size:
    if isinstance(padding, str):
        if padding == "VALID":
            return 0, 0
        if padding == "SAME":
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            return total // 2, total - total // 2
    else:
        try:
            before, after = (int(v) for v in padding[axis])
            if len(padding) == 2 and 0 <= min(before, after):
                if max(before, after) < extent:
                    return before, after
        except (TypeError, IndexError, ValueError):
            pass  # reported below with the given value
    raise ValueError(
        "padding must be 'VALID', 'SAME' or ((top, bottom), (left, right)) with every "
        f"amount at least 0 and less than the window {extent}, got {padding!r}"
    )


def default_image_size(pooled_size: Size, window, strides, padding: Padding) -> Size:
    """Smallest natural image size whose pooling gives `pooled_size`.

    With "SAME" it is `pooled × stride`, else
    `(pooled - 1) × stride + window - padding`.
    """
    window, strides = check_window(window, strides)
    sizes = []
    for axis in range(2):
        count, extent, stride = pooled_size[axis], window[axis], strides[axis]
        if padding == "SAME":
            sizes.append(count * stride)
        else:
            before, after = _axis_padding(padding, axis, 0, extent, stride)
            sizes.append((count - 1) * stride + extent - before - after)
    return sizes[0], sizes[1]
