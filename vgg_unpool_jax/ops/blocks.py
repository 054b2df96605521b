"""Squares of pixels as channels, and back.

The functions take arrays of JAX and of NumPy.
"""


def blocks_to_channels(images, size: int):
    """(n, h, w, c) to (n, h / size, w / size, size² c), row by row, channels last."""
    n, height, width, c = images.shape
    blocks = images.reshape(n, height // size, size, width // size, size, c)
    shape = (n, height // size, width // size, size * size * c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(shape)


def channels_to_blocks(arrays, size: int):
    """The inverse of `blocks_to_channels`."""
    n, height, width, channels = arrays.shape
    c = channels // size**2
    blocks = arrays.reshape(n, height, width, size, size, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * size, width * size, c)
