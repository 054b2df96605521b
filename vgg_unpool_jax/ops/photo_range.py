"""The range of photos where arrays come in from other code: RGB in [0, 255].

Other libraries keep photos in [0, 1] or in 16 bits. Such arrays give dark, white or
meaningless pictures here, and nothing else would say so.
"""

import contextlib
import contextvars
import warnings
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

_ANY_RANGE = contextvars.ContextVar("any_range", default=False)
# Decoders and transforms overshoot; their results may come in again.
_OVERSHOOT = 255
# Names, shapes and types of arrays on accelerators that were looked at.
_SEEN: set[tuple] = set()
_EXPECTED = (
    "expected RGB in [0, 255] (vgg_unpool_jax.any_range() switches this check off)"
)


class PhotoRangeWarning(UserWarning):
    """The values of a photo are probably on another scale than [0, 255]."""


@contextlib.contextmanager
def any_range() -> Iterator[None]:
    """Switch the checks of ranges off, in this thread or task, within `with`."""
    token = _ANY_RANGE.set(True)
    try:
        yield
    finally:
        _ANY_RANGE.reset(token)


def check_photo_range(name: str, photo) -> None:
    """Check the values of a photo, or of several, before they are converted.

    Tracers have no values and are passed over, and so is uint8, which is always right.
    Reading an array on an accelerator waits for it, so of these only the first of each
    shape is looked at.

    Args:
      name: of the argument, for the message.
      photo: an array of NumPy or JAX, or what NumPy makes one of; any shape.

    Raises:
      ValueError: for NaN or infinite values, integers outside [0, 255], and other types
        than integers and floats.

    Warns:
      PhotoRangeWarning: for fractions between -1 and 1, and for floats beyond
        [-255, 510].
    """
    if _ANY_RANGE.get() or isinstance(photo, jax.core.Tracer):
        return
    if isinstance(photo, jax.Array):
        if photo.dtype == jnp.uint8 or not photo.is_fully_addressable:
            return
        if any(device.platform != "cpu" for device in photo.devices()):
            seen = name, photo.shape, str(photo.dtype)
            if seen in _SEEN:
                return
            _SEEN.add(seen)
    values = np.asarray(photo)
    if values.dtype == np.uint8 or not values.size:
        return
    is_float = jnp.issubdtype(values.dtype, jnp.floating)
    if not is_float and values.dtype.kind not in "iu":
        raise ValueError(f"{name} is of the type {values.dtype}, {_EXPECTED}")
    low, high = values.min(), values.max()  # NaN if one is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} has NaN or infinite values, {_EXPECTED}")
    found = f"{name} has {values.dtype} values from {low:g} to {high:g}"
    if not is_float:
        if low < 0 or high > 255:
            raise ValueError(f"{found}, {_EXPECTED}: divide 16-bit photos by 257")
    elif low >= -1 and high <= 1:
        # Whole numbers may be those of a black photo.
        if (values != np.rint(values)).any():
            _warn(f"{found}, {_EXPECTED}: multiply photos in [0, 1] by 255")
    elif low < -_OVERSHOOT or high > 255 + _OVERSHOOT:
        _warn(f"{found}, {_EXPECTED}")


def _warn(message: str) -> None:
    # At the caller of the function whose argument it is.
    warnings.warn(message, PhotoRangeWarning, stacklevel=4)
