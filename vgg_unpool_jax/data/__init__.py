"""Photos -> batches: sources, split, crops, augmentation and a resumable loader."""

from vgg_unpool_jax.data.augmentation import make_augmentation
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.errors import BrokenPhotosError, PhotoError, SourceError
from vgg_unpool_jax.data.examples import CROPS, TEST_CROPS
from vgg_unpool_jax.data.loader import Loader, make_loader
from vgg_unpool_jax.data.sources import Source, make_source
from vgg_unpool_jax.data.split import Split, split_indices
from vgg_unpool_jax.data.transforms import (
    center_crop,
    center_square_resize,
    random_crop,
)

__all__ = [
    "CROPS",
    "TEST_CROPS",
    "BrokenPhotosError",
    "Loader",
    "PhotoError",
    "Source",
    "SourceError",
    "Split",
    "center_crop",
    "center_square_resize",
    "decode_photo",
    "make_augmentation",
    "make_loader",
    "make_source",
    "random_crop",
    "split_indices",
]
