"""The losses of TensorFlow. Imported only where TensorFlow is asked for."""

import tensorflow as tf


def _l1(predictions, targets):
    return tf.reduce_mean(tf.abs(predictions - targets))


def _l2(predictions, targets):
    return tf.reduce_mean(tf.square(predictions - targets))


def _ms_ssim(predictions, targets):
    return 1 - tf.reduce_mean(tf.image.ssim_multiscale(predictions, targets, 255.0))


LOSSES = {"l1": _l1, "l2": _l2, "ms_ssim": _ms_ssim}


def value(name: str):
    """(predictions, targets) -> value, as a graph."""
    return tf.function(LOSSES[name])


def value_and_gradient(name: str):
    """(predictions, targets) -> (value, gradient of the predictions), as a graph."""

    @tf.function
    def compute(predictions, targets):
        with tf.GradientTape() as tape:
            tape.watch(predictions)
            loss = LOSSES[name](predictions, targets)
        return loss, tape.gradient(loss, predictions)

    return compute
