"""Inputs, results and traffic of the pooling operations that programs are timed on."""

import dataclasses

import numpy as np

# Ours does ReLU and pooling in one pass; the peers do one after the other.
RELU_POOL = "ReLU, pool"
RELU_POOL_GRADIENT = "ReLU, pool gradient"
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
        drawn = (
            generator.standard_normal(s, np.float32) for s in (shape, pooled, shape)
        )
        return cls(*drawn, dtype)


def minimum_bytes(
    operation: str, image_elements: int, item_size: int, switch_bytes: float
) -> float:
    """Bytes that an operation has to read and write, each array once.

    Args:
      operation: one of `OPERATIONS`.
      image_elements: number of elements of the image; a quarter of it is pooled.
      item_size: bytes of an element.
      switch_bytes: bytes of one switch in this program.
    """
    image = image_elements * item_size
    pooled = image_elements / 4 * item_size
    switches = image_elements / 4 * switch_bytes
    # "pool, unpool" reads the image once, and writes all three.
    images = 2 if operation == "pool, unpool" else 1
    # Where the pooled value is 0 no gradient flows, so the value has to be read.
    pooled *= 2 if operation == RELU_POOL_GRADIENT else 1
    return images * image + pooled + switches


def named_arrays(operation: str, *arrays: np.ndarray) -> dict[str, np.ndarray]:
    """The result of an operation in NHWC, with codes for switches, by name."""
    if operation in ("pool", RELU_POOL, "pool, unpool"):
        named = dict(zip(("pooled", "codes", "image"), arrays, strict=False))
    else:
        named = {"pooled" if operation == "unpool gradient" else "image": arrays[0]}
    if operation == RELU_POOL:
        # Where nothing is above 0 no gradient flows: any switch will do.
        named["codes"] = named["codes"] * (named["pooled"] > 0)
    return named
