"""Photos of a prepared TensorFlow Datasets data set; needs no TensorFlow."""

import os
import re

import numpy as np

from vgg_unpool_jax.data import decode
from vgg_unpool_jax.errors import PhotoError, SourceError, first_line

# NAME may carry a config and a version (coco/2017:1.1.0), SPLIT a slice (train[:10%]):
# both may hold colons.
_SPEC = re.compile(r"(?P<name>[^:]+(:(\d+|\*)\.(\d+|\*)\.(\d+|\*))?)(:(?P<split>.+))?")

# Raised by TFDS for an unknown name, config or version, for damaged files and for data
# sets that need a package that is not installed. Their texts are long.
_OPENING_ERRORS = (ValueError, AssertionError, OSError, ImportError, RuntimeError)


class TfdsSource:
    """The `image` feature of one split of a data set that TFDS has prepared.

    Args:
      name: the data set, TFDS' way: `name`, `name/config`, `name/config:1.2.3`.
      split: the split, slices included: `train`, `validation`, `train[:10%]`.
      data_dir: where TFDS keeps its data; None: the environment variable
        TFDS_DATA_DIR, else ~/tensorflow_datasets.
    """

    def __init__(self, name: str, split: str = "train", data_dir: str | None = None):
        # Slow to import, and nothing else needs it.
        import tensorflow_datasets as tfds

        self._name = name
        self._split = split
        builder = _open_builder(tfds, name, data_dir)
        features = builder.info.features
        _check_image_feature(tfds, name, features)
        label = features["label"] if "label" in features else None
        self._classes = label if isinstance(label, tfds.features.ClassLabel) else None
        self._labels: dict[int, str | None] = {}
        try:
            # Encoded bytes, because decode_photo applies EXIF and ICC profiles.
            self._records = builder.as_data_source(
                split=split, decoders={"image": tfds.decode.SkipDecoding()}
            )
        except NotImplementedError as error:
            raise SourceError(_not_prepared(name, builder.data_dir)) from error
        except (ValueError, AssertionError) as error:
            raise SourceError(
                f"the split {split!r} of the TFDS data set {name} cannot be opened: "
                f"{first_line(error)}"
            ) from error
        if not len(self._records):
            raise SourceError(
                f"the split {split!r} of the TFDS data set {name} is empty"
            )

    @classmethod
    def from_spec(cls, spec: str) -> "TfdsSource":
        """Open `NAME` or `NAME:SPLIT`; the split is `train` where none is given."""
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise SourceError(
                f"a TFDS data set is named tfds:NAME or tfds:NAME:SPLIT, got "
                f"{'tfds:' + spec!r}"
            )
        return cls(match["name"], match["split"] or "train")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> np.ndarray:
        """Photo `index` as uint8 (H, W, 3) RGB; raises PhotoError when unreadable."""
        record = self._record(index)
        return decode.decode_photo(record["image"], self.name(index))

    def label(self, index: int) -> str | None:
        """Name of the class of photo `index`, from the feature `label`.

        Returns:
          The name; None where the data set has no ClassLabel of that name, or the
          photo has no class (-1).
        """
        if self._classes is None:
            return None
        if index not in self._labels:  # every validation asks for the same ones
            self._labels[index] = self._read_label(index)
        return self._labels[index]

    def _read_label(self, index: int) -> str | None:
        number = int(self._record(index)["label"])
        # TFDS marks photos without a class by -1, which as an index would be the last
        # class.
        if number == -1:
            return None
        if not 0 <= number < self._classes.num_classes:
            raise PhotoError(
                f"photo {self.name(index)} has the class number {number}; the data set "
                f"has {self._classes.num_classes} classes"
            )
        return self._classes.int2str(number)

    def name(self, index: int) -> str:
        """Data set, split and number of photo `index`."""
        return f"{self._name}/{self._split}/{index}"

    def __repr__(self) -> str:
        return f"TFDS data set {self._name}, split {self._split}"

    def _record(self, index: int) -> dict:
        """The features of photo `index`; the image is still encoded."""
        try:
            record = self._records[index]
        except (ValueError, RuntimeError, OSError) as error:
            raise PhotoError(
                f"photo {self.name(index)} cannot be read: {first_line(error)}"
            ) from error
        if not isinstance(record["image"], bytes):
            # A cut-off file yields empty records.
            raise PhotoError(f"photo {self.name(index)} is missing from its record")
        return record


def _open_builder(tfds, name: str, data_dir: str | None):
    # TFDS reads the variable only once, at import.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except _OPENING_ERRORS as error:
        raise SourceError(
            f"the TFDS data set {name} cannot be opened ({first_line(error)}); if its "
            f"name is right, {_how_to_prepare(name)}"
        ) from error
    if not builder.info.splits:
        raise SourceError(_not_prepared(name, builder.data_dir))
    return builder


def _check_image_feature(tfds, name: str, features) -> None:
    names = list(features) if isinstance(features, tfds.features.FeaturesDict) else []
    image = features["image"] if "image" in names else None
    if not isinstance(image, tfds.features.Image):
        raise SourceError(
            f"the TFDS data set {name} has no photos in a feature `image`; its "
            f"features are {', '.join(names) or features}"
        )
    if image.np_dtype not in (np.uint8, np.uint16):
        raise SourceError(
            f"the feature `image` of the TFDS data set {name} holds "
            f"{np.dtype(image.np_dtype).name}, not uint8 or uint16"
        )


def _not_prepared(name: str, data_dir) -> str:
    return (
        f"the TFDS data set {name} is not prepared for random access in {data_dir}; "
        f"{_how_to_prepare(name)}"
    )


def _how_to_prepare(name: str) -> str:
    return (
        f"prepare it once with tfds.builder({name!r}).download_and_prepare("
        f'file_format="array_record"), in another data_dir if it is already there in '
        f"another format"
    )
