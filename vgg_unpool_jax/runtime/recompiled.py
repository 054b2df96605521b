"""Compiled functions as attributes of objects that can be pickled and copied."""

import functools
from typing import Any


class Recompiled:
    """Leaves what a `functools.cached_property` holds out of pickles and copies.

    Compiled functions cannot be sent to another process. Classes that hold them in
    cached properties make them again where they are needed.
    """

    def __getstate__(self) -> dict[str, Any]:
        """The attributes without those of cached properties."""
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(
                getattr(type(self), name, None), functools.cached_property
            )
        }
