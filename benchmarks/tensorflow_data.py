"""A plain tf.data pipeline: files to batches. Imported only where it is asked for."""

from collections.abc import Collection, Iterator

import numpy as np
import tensorflow as tf


def _decode(path):
    # As accurate as libjpeg does it for Pillow, which is not TensorFlow's default.
    return tf.io.decode_jpeg(
        tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE"
    )


def _center_resize(photo, size):
    shape = tf.shape(photo)
    side = tf.minimum(shape[0], shape[1])
    photo = tf.image.crop_to_bounding_box(
        photo, (shape[0] - side) // 2, (shape[1] - side) // 2, side, side
    )
    resized = tf.image.resize(photo, (size, size), "bicubic", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def _random(photo, size):
    return tf.image.random_crop(photo, (size, size, 3))


def _center(photo, size):
    shape = tf.shape(photo)
    return tf.image.crop_to_bounding_box(
        photo, (shape[0] - size) // 2, (shape[1] - size) // 2, size, size
    )


_CROPS = {"center_resize": _center_resize, "random": _random, "center": _center}


def batches(
    paths: Collection[str],
    *,
    crop: str,
    size: int,
    batch_size: int,
    cores: int,
    shuffle: bool,
) -> Iterator[np.ndarray]:
    """One pass over photos.

    Args:
      paths: of JPEG files.
      crop: "center_resize", "random" or "center", as ours.
      size: of the crops in pixels.
      batch_size: images of a batch; the last may be smaller.
      cores: threads of the pipeline.
      shuffle: whether photos come in a new order.

    Yields:
      uint8 (n, size, size, 3).
    """
    dataset = tf.data.Dataset.from_tensor_slices(list(paths))
    if shuffle:
        dataset = dataset.shuffle(len(paths))

    def load(path):
        return _CROPS[crop](_decode(path), size)

    dataset = dataset.map(load, num_parallel_calls=cores)
    dataset = dataset.batch(batch_size).prefetch(2)
    options = tf.data.Options()
    options.threading.private_threadpool_size = cores
    yield from dataset.with_options(options).as_numpy_iterator()
