"""Pooling, losses and the data pipeline of TensorFlow."""

from collections.abc import Collection, Iterator

import jax
import numpy as np
import tensorflow as tf

from benchmarks.harness import Candidate
from benchmarks.pooling_work import (
    RELU_POOL,
    RELU_POOL_GRADIENT,
    minimum_bytes,
    named_arrays,
)
from vgg_unpool_jax.ops.switches import tensorflow_to_codes

_INDEX_BYTES = 8  # int64


def wait(_) -> None:
    """Return when TensorFlow has computed everything."""
    if jax.default_backend() != "cpu":  # there it has when a call returns
        tf.test.experimental.sync_devices()


def _pool(image):
    # With the photo in the index one flat scatter serves the whole batch.
    return tf.nn.max_pool_with_argmax(image, 2, 2, "VALID", include_batch_in_index=True)


def _unpool(values, indices, shape):
    flat = tf.scatter_nd(
        tf.reshape(indices, (-1, 1)),
        tf.reshape(values, (-1,)),
        tf.constant([int(np.prod(shape))], tf.int64),
    )
    return tf.reshape(flat, shape)


def _pool_gradient(image, gradient, indices):
    return tf.raw_ops.MaxPoolGradWithArgmax(
        input=image,
        grad=gradient,
        argmax=indices,
        ksize=[1, 2, 2, 1],
        strides=[1, 2, 2, 1],
        padding="VALID",
        include_batch_in_index=True,
    )


def pooling(operation: str, arrays) -> Candidate:
    """One of `pooling_work.OPERATIONS`; unpooling is `scatter_nd`."""
    dtype = tf.dtypes.as_dtype(arrays.dtype)
    image = tf.cast(tf.constant(arrays.image), dtype)
    values = tf.cast(tf.constant(arrays.values), dtype)
    gradient = tf.cast(tf.constant(arrays.image_gradient), dtype)
    positive, shape = tf.nn.relu(image), arrays.image.shape
    _, indices = _pool(image)
    _, positive_indices = _pool(positive)

    def run():
        if operation == "pool":
            return _pool(image)
        if operation == RELU_POOL:
            return _pool(tf.nn.relu(image))
        if operation == "unpool":
            return (_unpool(values, indices, shape),)
        if operation == "pool, unpool":
            pooled, chosen = _pool(image)
            return pooled, chosen, _unpool(pooled, chosen, shape)
        if operation == "pool gradient":
            return (_pool_gradient(image, values, indices),)
        if operation == RELU_POOL_GRADIENT:
            found = _pool_gradient(positive, values, positive_indices)
            return (tf.raw_ops.ReluGrad(gradients=found, features=positive),)
        return (tf.gather(tf.reshape(gradient, (-1,)), indices),)

    def result():
        first, *rest = run()
        found = [_array(first)]
        if rest:
            codes = rest[0].numpy()
            codes = tensorflow_to_codes(codes, shape, include_batch_in_index=True)
            found.append(codes)
        return named_arrays(operation, *found, *map(_array, rest[1:]))

    amount = minimum_bytes(operation, arrays.image.size, dtype.size, _INDEX_BYTES)
    facts = {"switch_bytes": _INDEX_BYTES}
    return Candidate(run, wait, result, "tensorflow", amount, facts)


def _array(tensor) -> np.ndarray:
    return tf.cast(tensor, tf.float32).numpy()


def _ms_ssim(predictions, targets):
    return 1 - tf.reduce_mean(tf.image.ssim_multiscale(predictions, targets, 255.0))


LOSSES = {
    "l1": lambda x, y: tf.reduce_mean(tf.abs(x - y)),
    "l2": lambda x, y: tf.reduce_mean(tf.square(x - y)),
    "ms_ssim": _ms_ssim,
}


def loss(name: str, with_gradient: bool, predictions, targets) -> Candidate:
    """A loss of NHWC images as a graph, with the gradient of the predictions or not."""
    x, y = tf.constant(predictions), tf.constant(targets)

    @tf.function
    def compute(predictions, targets):
        if not with_gradient:
            return (LOSSES[name](predictions, targets),)
        with tf.GradientTape() as tape:
            tape.watch(predictions)
            value = LOSSES[name](predictions, targets)
        return value, tape.gradient(value, predictions)

    def result():
        found = (tensor.numpy() for tensor in compute(x, y))
        return dict(zip(("value", "gradient"), found, strict=False))

    return Candidate(lambda: compute(x, y), wait, result, "tensorflow")


def _decode(path):
    # As accurate as libjpeg in Pillow, which is not TensorFlow's default.
    return tf.io.decode_jpeg(
        tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE"
    )


def _center(photo, height, width):
    shape = tf.shape(photo)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    return tf.image.crop_to_bounding_box(photo, top, left, height, width)


def _center_resize(photo, size):
    side = tf.minimum(tf.shape(photo)[0], tf.shape(photo)[1])
    square = _center(photo, side, side)
    resized = tf.image.resize(square, (size, size), "bicubic", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


_CROPS = {
    "center_resize": _center_resize,
    "random": lambda photo, size: tf.image.random_crop(photo, (size, size, 3)),
    "center": lambda photo, size: _center(photo, size, size),
}


def batches(
    paths: Collection[str],
    *,
    crop: str,
    size: int,
    batch_size: int,
    cores: int,
    shuffle: bool,
) -> Iterator[np.ndarray]:
    """One pass over photos with tf.data.

    Args:
      paths: of JPEG files.
      crop: "center_resize", "random" or "center".
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
    dataset = dataset.map(
        lambda path: _CROPS[crop](_decode(path), size), num_parallel_calls=cores
    )
    dataset = dataset.batch(batch_size).prefetch(2)
    options = tf.data.Options()
    options.threading.private_threadpool_size = cores
    yield from dataset.with_options(options).as_numpy_iterator()
