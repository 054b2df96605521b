"""The operations of the ops suite: their arrays, results and bytes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import Candidate

# Ours does ReLU and pooling in one pass; the peers do one after the other.
RELU_POOL = "ReLU, pool"
RELU_POOL_GRADIENT = "ReLU, pool gradient"
POOLING = ("pool", RELU_POOL)
OPERATIONS = (
    "pool",
    "unpool",
    "pool, unpool",
    "pool gradient",
    "unpool gradient",
    RELU_POOL,
    RELU_POOL_GRADIENT,
)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Random inputs of one case, equal for all candidates.

    Attributes:
      image: (n, h, w, c) float32; candidates round it to `dtype`.
      values: (n, h/2, w/2, c) float32, to be unpooled, and the gradient of the pooled.
      image_gradient: (n, h, w, c) float32, the gradient of the unpooled.
      dtype: "float32" or "bfloat16".
    """

    image: np.ndarray
    values: np.ndarray
    image_gradient: np.ndarray
    dtype: str

    @classmethod
    def draw(cls, generator: np.random.Generator, shape, dtype: str) -> "Arrays":
        """Fresh normal numbers for images of this shape."""
        n, height, width, channels = shape
        pooled = (n, height // 2, width // 2, channels)
        image, values, gradient = (
            generator.standard_normal(wanted, np.float32)
            for wanted in (shape, pooled, shape)
        )
        return cls(image, values, gradient, dtype)


@dataclasses.dataclass(frozen=True)
class Program:
    """A candidate and how to look at what it gives.

    Attributes:
      candidate: for the clock.
      read: result -> NumPy arrays by name: "pooled", "codes" and "image" in NHWC, of
        which `require_equal` compares those that ours has.
    """

    candidate: Candidate
    read: Callable[[Any], dict[str, np.ndarray]]


def minimum_bytes(
    operation: str, image_elements: int, item_size: int, switch_bytes: float
) -> float:
    """Bytes that an operation has to read and write, each array once.

    Args:
      operation: one of `OPERATIONS`.
      image_elements: number of elements of the image; a quarter of it is pooled.
      item_size: bytes of an element.
      switch_bytes: bytes that one switch takes in this program.
    """
    image = image_elements * item_size
    pooled = image_elements / 4 * item_size
    switches = image_elements / 4 * switch_bytes
    # "pool, unpool" reads the image once, and writes all three.
    images = 2 if operation == "pool, unpool" else 1
    # No gradient flows where the pooled value is 0, which has to be looked up.
    pooled *= 2 if operation == RELU_POOL_GRADIENT else 1
    return images * image + pooled + switches


def needed_bytes(image_elements: int, item_size: int, programs: int) -> int:
    """About what the arrays of a case take while its candidates stand side by side."""
    # Per candidate two inputs and an output of the image's size, and 8-byte switches.
    on_device = programs * image_elements * (3 * item_size + 2)
    return int(on_device + 3 * 4 * image_elements)  # and the float32 originals
