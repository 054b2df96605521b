"""The start of a learned codec: principal components, steps for each λ, scales."""

import logging
import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.ops.blocks import blocks_to_channels
from vgg_unpool_jax.systems.codec.entropy import SCALES, logistic_bits
from vgg_unpool_jax.systems.codec.lapped import filter_borders, prefilter
from vgg_unpool_jax.systems.codec.model import GRAY
from vgg_unpool_jax.training.system import PyTree

_LOG = logging.getLogger(__name__)


def prepare(
    config: ml_collections.ConfigDict, objective, params: PyTree, model_state, crops
) -> tuple[PyTree, PyTree]:
    """Set the linear transforms, the gains and the magnitudes of the channels.

    The transforms are the principal components of blocks of pixels, uncentred, which
    are filtered across their borders before if the model is lapped. At
    high rates a quantisation step Δ costs a squared error of Δ²/12 in each coefficient,
    and saves log2 Δ bits: for 3 coefficients per pixel, and rate + λ error, the best is
    Δ² = 18 / (λ ln 2).

    Args:
      config: of the run, with the section `preparation`.
      objective: of the run.
      params: as initialised.
      model_state: as initialised.
      crops: see `training.system.System`.
    """
    section, model = config.preparation, objective.model
    sizes = section.num_photos, section.image_size, section.batch_size
    length = 3 * model.stride**2
    matrix = prefilter(model.stride)
    moment, count, kept_blocks = np.zeros((length, length)), 0, []
    for images in crops(*sizes):
        pixels = images.astype(np.float32) - GRAY
        if model.lapped:
            pixels = np.asarray(filter_borders(pixels, matrix.astype(np.float32)))
        blocks = blocks_to_channels(pixels.astype(np.float64), model.stride)
        blocks = blocks.reshape(-1, length)
        if model.log_context:
            kept_blocks.append(blocks.astype(np.float32))
        moment += blocks.T @ blocks
        count += len(blocks)
    values, vectors = np.linalg.eigh(moment / count)
    channels = model.channels
    values, vectors = values[::-1][:channels], vectors[:, ::-1][:, :channels]
    kept = float(values.sum() / np.trace(moment / count))
    lost = 10 * math.log10(
        255**2 / max((np.trace(moment / count) - values.sum()) / moment.shape[0], 1e-9)
    )
    _LOG.info(
        "%d principal components of %d blocks hold %.5f of their energy, PSNR %.2f dB",
        channels,
        count,
        kept,
        lost,
    )
    params = jax.tree.map(lambda array: array, params)
    linear_map = vectors.astype(np.float32)
    linear = jnp.asarray(linear_map * model.linear_unit)
    params["analysis"]["linear"]["kernel"] = linear
    params["synthesis"]["linear"]["kernel"] = linear.T
    if model.lapped:
        matrices = {"analysis": matrix, "synthesis": np.linalg.inv(matrix)}
        for part, name in (("analysis", "prefilter"), ("synthesis", "postfilter")):
            scaled = jnp.asarray(matrices[part] * model.linear_unit, jnp.float32)
            params[part][name] = scaled
    steps = np.sqrt(18 / (np.asarray(objective.loss.lambdas) * math.log(2)))
    log_step = np.broadcast_to(np.log(steps)[:, None], (len(steps), channels))
    params["log_step"] = jnp.asarray(log_step, jnp.float32)
    params["log_gain"] = -params["log_step"]
    if model.log_context:
        latents = np.concatenate([blocks @ linear_map for blocks in kept_blocks])
        params["base_index"] = jnp.asarray(_base_indices(latents, steps), jnp.float32)
    rms = jnp.asarray(np.sqrt(np.maximum(values, 1.0)), jnp.float32)
    return params, {**model_state, "statistics": {"rms": rms}}


def _base_indices(latents: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The scale that suits each channel best if nothing else is known.

    Args:
      latents: (n, channels), not quantised.
      steps: (num_qualities,), quantisation steps.

    Returns:
      float (num_qualities, channels), indices of `entropy.SCALES`.
    """
    largest = 1024
    values = jnp.arange(largest, dtype=jnp.float32)
    scales = jnp.asarray(SCALES, jnp.float32)[:, None]
    bits = np.asarray(logistic_bits(values, 0.0, scales))
    indices = np.empty((len(steps), latents.shape[1]))
    for quality, step in enumerate(steps):
        integers = np.minimum(np.abs(np.rint(latents / step)), largest - 1).astype(int)
        for channel in range(latents.shape[1]):
            counts = np.bincount(integers[:, channel], minlength=largest)
            indices[quality, channel] = np.argmin(bits @ counts)
    return indices
