"""Photos -> batches: sources, split, crops, augmentation and a resumable loader."""

from vgg_unpool_jax.data.augmentation import make_augmentation
from vgg_unpool_jax.data.crops import (
    CROPS,
    TEST_CROPS,
    Crop,
    check_crop,
    make_crop,
)
from vgg_unpool_jax.data.decode import decode_photo
from vgg_unpool_jax.data.loader import Loader, make_loader
from vgg_unpool_jax.data.sources import JoinedSource, Source, make_source, source_files
from vgg_unpool_jax.data.split import split_indices
from vgg_unpool_jax.data.splits import SPLITS, Split, open_splits
from vgg_unpool_jax.data.transforms import (
    center_crop,
    center_square_resize,
    padded_center_resize,
    random_crop,
    random_square_resize,
)
from vgg_unpool_jax.errors import BrokenPhotosError, PhotoError, SourceError, UserError

__all__ = [
    "CROPS",
    "SPLITS",
    "TEST_CROPS",
    "BrokenPhotosError",
    "Crop",
    "JoinedSource",
    "Loader",
    "PhotoError",
    "Source",
    "SourceError",
    "Split",
    "UserError",
    "center_crop",
    "center_square_resize",
    "check_crop",
    "decode_photo",
    "make_augmentation",
    "make_crop",
    "make_loader",
    "make_source",
    "open_splits",
    "padded_center_resize",
    "random_crop",
    "random_square_resize",
    "source_files",
    "split_indices",
]
