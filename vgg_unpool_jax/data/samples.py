"""Sample photos that are part of scikit-image's package: no download, no network."""

import importlib.util
import pathlib

import numpy as np

from vgg_unpool_jax.data import decode
from vgg_unpool_jax.errors import SourceError

# The photographs among skimage/data that are in the wheel, colour before grey. Charts,
# scans of text, drawings and depth maps are left out, and the second of two pictures of
# one scene, which would put it into training and test.
_FILES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
    "brick.png",
    "camera.png",
    "coins.png",
    "grass.png",
    "gravel.png",
)


class SamplesSource:
    """Thirteen photos from scikit-image in native size, sides of 300 to 1411 pixels."""

    def __init__(self):
        # Found without importing scikit-image, which takes a second.
        spec = importlib.util.find_spec("skimage")
        if spec is None or spec.origin is None:
            raise SourceError(
                "the sample photos come with scikit-image, which is not installed"
            )
        self._folder = pathlib.Path(spec.origin).parent / "data"

    def __len__(self) -> int:
        return len(_FILES)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        return decode.decode_photo(self._folder / _FILES[index], _FILES[index])

    def name(self, index: int) -> str:
        """File name of photo `index`."""
        return _FILES[index]

    def label(self, index: int) -> None:
        """None: the sample photos have no classes."""

    def __repr__(self) -> str:
        return f"sample photos in {self._folder}"
