"""Photos -> batches: sources, split, crops, augmentation and a resumable loader."""

import importlib

# Names of this folder and the modules they live in. They are imported when they are
# first used: the loader needs grain, which loads for half a second, and whoever reads
# one photo does not need it.
_HOMES = {
    "CROPS": "data.crops",
    "SPLITS": "data.splits",
    "TEST_CROPS": "data.crops",
    "BrokenPhotosError": "errors",
    "Crop": "data.crops",
    "JoinedSource": "data.sources",
    "Loader": "data.loader",
    "PhotoError": "errors",
    "Source": "data.sources",
    "SourceError": "errors",
    "Split": "data.splits",
    "UserError": "errors",
    "center_crop": "data.transforms",
    "center_square_resize": "data.transforms",
    "check_crop": "data.crops",
    "decode_photo": "data.decode",
    "make_augmentation": "data.augmentation",
    "make_crop": "data.crops",
    "make_loader": "data.loader",
    "make_source": "data.sources",
    "open_splits": "data.splits",
    "padded_center_resize": "data.transforms",
    "random_crop": "data.transforms",
    "random_square_resize": "data.transforms",
    "source_files": "data.sources",
    "split_indices": "data.split",
}

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        module = importlib.import_module(f"vgg_unpool_jax.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
