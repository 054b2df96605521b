"""Pooling and unpooling of TensorFlow, with `max_pool_with_argmax` and `scatter_nd`.

Imported only where TensorFlow is asked for.
"""

import functools

import numpy as np
import tensorflow as tf

from benchmarks.peers import tensorflow_wait
from benchmarks.pooling_work import (
    POOLING,
    RELU_POOL,
    RELU_POOL_GRADIENT,
    Arrays,
    Program,
    minimum_bytes,
)
from benchmarks.timing import Candidate
from vgg_unpool_jax.ops.switches import tensorflow_to_codes

_INDEX_BYTES = 8  # int64


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


def program(operation: str, arrays: Arrays) -> Program:
    """One operation."""
    dtype = tf.dtypes.as_dtype(arrays.dtype)
    image = tf.cast(tf.constant(arrays.image), dtype)
    values = tf.cast(tf.constant(arrays.values), dtype)
    _, indices = _pool(image)
    shape = arrays.image.shape
    if operation == "pool":
        run = functools.partial(_pool, image)
    elif operation == RELU_POOL:

        def run():
            return _pool(tf.nn.relu(image))

    elif operation == "unpool":
        run = functools.partial(_unpool, values, indices, shape)
    elif operation == "pool, unpool":

        def run():
            pooled, codes = _pool(image)
            return pooled, codes, _unpool(pooled, codes, shape)

    elif operation == "pool gradient":
        run = functools.partial(_pool_gradient, image, values, indices)
    elif operation == RELU_POOL_GRADIENT:
        positive = tf.nn.relu(image)
        indices = _pool(positive)[1]

        def run():
            gradient = _pool_gradient(positive, values, indices)
            return tf.raw_ops.ReluGrad(gradients=gradient, features=positive)

    else:
        gradient = tf.cast(tf.constant(arrays.image_gradient), dtype)

        def run():
            return tf.gather(tf.reshape(gradient, (-1,)), indices)

    amount = minimum_bytes(operation, arrays.image.size, dtype.size, _INDEX_BYTES)
    candidate = Candidate(
        run,
        tensorflow_wait,
        peer="tensorflow",
        amount=amount,
        facts={"switch_bytes": _INDEX_BYTES},
    )
    return Program(candidate, functools.partial(_read, operation, shape))


def _read(operation, image_shape, result) -> dict[str, np.ndarray]:
    def array(tensor):
        return tf.cast(tensor, tf.float32).numpy()

    if operation in (*POOLING, "pool, unpool"):
        codes = tensorflow_to_codes(
            result[1].numpy(), image_shape, include_batch_in_index=True
        )
        named = {"pooled": array(result[0]), "codes": codes}
        if operation == "pool, unpool":
            named["image"] = array(result[2])
        return named
    return {"pooled" if operation == "unpool gradient" else "image": array(result)}
