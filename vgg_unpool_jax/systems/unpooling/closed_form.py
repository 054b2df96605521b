"""The layers that the decoder of the block before lacks, by least squares.

A decoder of block N = 4 or 5 begins with four layers that the decoder of block N-1 does
not have, and then repeats that decoder. The mirror of an encoder layer should undo it:
its target is the encoder's input to that layer. Each of the four is fitted to its
target on the maps that the layers before it give, in turn:

    features ─ blockN_conv2 ─ blockN_conv1 ─ unpool ─ conv4 ─ conv3 ─ decoder N-1

The last target is what decoder N-1 takes, in its units, so that decoder goes on behind
unchanged. A layer is linear before its ReLU: its kernel solves ridge regression of the
target on 3×3 patches. Where the target is zero a negative output is no error; passes of
an accelerated gradient method take this into account, with the matrix that is already
factorised as preconditioner: the Hessian never exceeds it, so the step size is 1
(FISTA, Beck & Teboulle 2009).

Method and settings were chosen by measurements; see docs/training_notes.md.
"""

import collections
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import Convolution, convolutions_up_to
from vgg_unpool_jax.ops.convolution import convolve
from vgg_unpool_jax.ops.pooling import max_pool_argmax, max_unpool
from vgg_unpool_jax.systems.unpooling.decoder import floored_rms, mean_squares

_LOG = logging.getLogger(__name__)

# Blocks whose new layers end where the decoder of the block before begins. In those of
# blocks 2 and 3 unpooling comes between, and the old layers meet another input.
BLOCKS = (4, 5)

# Positions in all photos together at which a layer is fitted: nine for each unknown of
# an output channel.
POSITIONS = 40_000
RIDGE = 1e-4  # of the mean variance of the patches' elements
PASSES = 3

Chunks = Callable[[], Iterable[tuple[jax.Array, jax.Array]]]


class FittedLayers(NamedTuple):
    """New layers of a decoder.

    Attributes:
      params: layer name -> {"kernel": (3, 3, i, o), "bias": (o,)}.
      feature_rms: (c,), of the decoder's input, by which it must divide.
      errors: layer name -> squared error after ReLU at the fitted positions, relative
        to the squared target.
    """

    params: dict[str, dict[str, jax.Array]]
    feature_rms: jax.Array
    errors: dict[str, float]


def new_layers(block: int) -> tuple[Convolution, ...]:
    """Convolutions whose mirrors the decoder of `block` - 1 lacks, last first."""
    shared = len(convolutions_up_to(block - 1))
    return convolutions_up_to(block)[: shared - 1 : -1]


def fit_new_layers(
    encoder: VGG19Encoder,
    encoder_params: Mapping,
    inner_rms: jax.Array,
    photos: Iterable[np.ndarray],
    num_photos: int,
    *,
    positions: int = POSITIONS,
    ridge: float = RIDGE,
    passes: int = PASSES,
    seed: int = 0,
) -> FittedLayers:
    """Fit the layers of a decoder of block 4 or 5 that the one before does not have.

    Args:
      encoder: cut at the block.
      encoder_params: its parameters.
      inner_rms: (c,), the RMS by which the decoder of the block before divides its
        input.
      photos: batches (n, s, s, 3) in [0, 255], all of the same side s, which the
        encoder can take; at 256² their borders have the weight that they have in use.
      num_photos: of all batches together.
      positions: about how many positions a layer is fitted at, over all photos.
      ridge: see `fit_relu_layer`.
      passes: see `fit_relu_layer`.
      seed: of the positions.
    """
    encoded = _encode(
        encoder,
        encoder_params,
        photos,
        positions_per_photo=math.ceil(positions / num_photos),
        rng=np.random.default_rng(seed),
    )
    layers = new_layers(encoder.block)
    maps, scale = encoded.features, encoded.feature_rms
    params, errors = {}, {}
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        target_rms = encoded.target_rms[layer.name] if following else inner_rms
        chunks = functools.partial(
            patch_chunks,
            maps,
            scale,
            encoded.places[layer.block],
            encoded.targets[layer.name],
            jnp.asarray(target_rms),
        )
        weights, bias, errors[layer.name] = fit_relu_layer(
            chunks, ridge=ridge, passes=passes
        )
        _LOG.info(
            "%s: fitted, relative squared error %.3f", layer.name, errors[layer.name]
        )
        kernel = weights.reshape(3, 3, layer.outputs, layer.inputs)
        params[layer.name] = {"kernel": kernel, "bias": bias}
        if following:
            unpools = following.block != layer.block
            maps = [
                next_map(x, scale, kernel, bias, codes if unpools else None)
                for x, codes in zip(maps, encoded.switches, strict=True)
            ]
            scale = jnp.ones_like(bias)
    return FittedLayers(params, encoded.feature_rms, errors)


@jax.jit
def next_map(x, scale, kernel, bias, codes):
    """A layer's output (n, h, w, o) float16, unpooled if there are switches."""
    inputs = x.astype(jnp.float32) / scale
    outputs = convolve(inputs, kernel, bias, relu=True)
    if codes is not None:
        outputs = max_unpool(outputs, codes)
    return outputs.astype(jnp.float16)


def patch_chunks(maps, scale, places, targets, target_rms):
    """Pairs of patches and targets at the places of one batch after the other.

    Args:
      maps: inputs of a layer, (n, h, w, c) of each batch.
      scale: (c,), by which they are divided.
      places: (n, s) of each batch, positions counted by rows.
      targets: (n, s, o) of each batch, the layer's targets there.
      target_rms: (o,), by which these are divided.

    Yields:
      (n s, 9 c) patches in the order of a kernel's elements, and (n s, o) targets.
    """
    for x, where, wanted in zip(maps, places, targets, strict=True):
        yield _patches_and_targets(x, scale, where, wanted, target_rms)


@jax.jit
def _patches_and_targets(x, scale, places, targets, target_rms):
    """((p, 9c) patches in the order of a kernel's elements, (p, o) targets)."""
    n, _, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = places // width, places % width
    photo = jnp.arange(n)[:, None]
    taps = [
        padded[photo, rows + down, columns + right]
        for down in range(3)
        for right in range(3)
    ]
    patches = jnp.stack(taps, axis=2).astype(jnp.float32) / scale
    targets = targets.astype(jnp.float32) / target_rms
    return patches.reshape(-1, 9 * channels), targets.reshape(-1, targets.shape[-1])


def fit_relu_layer(
    chunks: Chunks, *, ridge: float = RIDGE, passes: int = PASSES
) -> tuple[jax.Array, jax.Array, float]:
    """Weights and bias of one layer with ReLU, in closed form and passes over the data.

    Minimises the mean of ½‖r‖² + ½·λ‖weights‖², where r = target - (x·weights + bias),
    and r is zero where target and x·weights + bias both are not positive. The first
    solution takes all of r; `passes` steps follow.

    Args:
      chunks: () -> pairs of inputs (p, k) and targets (p, m) >= 0, all float32.
      ridge: λ as a share of the mean variance of the k inputs.
      passes: number of steps; 0 for ridge regression.

    Returns:
      Weights (k, m), bias (m,), and the squared error after ReLU relative to the
      squared targets, before the last step.
    """
    gram = moment = sum_x = sum_y = 0.0
    count = 0
    for x, y in chunks():
        gram, moment = _add_products(gram, moment, x, y)
        sum_x, sum_y = sum_x + jnp.sum(x, axis=0), sum_y + jnp.sum(y, axis=0)
        count += len(x)
    mean_x, mean_y = sum_x / count, sum_y / count
    centred = gram / count - jnp.outer(mean_x, mean_x)
    penalty = ridge * jnp.trace(centred) / len(centred)
    factor = jax.scipy.linalg.cho_factor(
        centred + penalty * jnp.eye(len(centred), dtype=centred.dtype)
    )
    del gram, centred
    solve = functools.partial(jax.scipy.linalg.cho_solve, factor)
    weights = solve(moment / count - jnp.outer(mean_x, mean_y))
    bias = mean_y - mean_x @ weights
    ahead, bias_ahead, momentum = weights, bias, 1.0
    error = None
    # One more round than steps when there are none, for the error alone.
    for number in range(max(passes, 1)):
        moment = sum_r = squares = target_squares = 0.0
        for x, y in chunks():
            added = _residuals(x, y, ahead, bias_ahead)
            moment, sum_r = moment + added[0], sum_r + added[1]
            squares, target_squares = squares + added[2], target_squares + added[3]
        error = float(squares / target_squares)
        if number == passes:
            break
        mean_r = sum_r / count
        gradient = moment / count - jnp.outer(mean_x, mean_r) - penalty * ahead
        stepped = ahead + solve(gradient)
        bias_stepped = bias_ahead + mean_r - mean_x @ (stepped - ahead)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        share = (momentum - 1) / following
        ahead = stepped + share * (stepped - weights)
        bias_ahead = bias_stepped + share * (bias_stepped - bias)
        weights, bias, momentum = stepped, bias_stepped, following
    return weights, bias, error


_exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _add_products(gram, moment, x, y):
    return gram + _exact(x.T, x), moment + _exact(x.T, y)


@jax.jit
def _residuals(x, y, weights, bias):
    """(xᵀr, sum of r, squared error after ReLU, squared target)."""
    outputs = _exact(x, weights) + bias
    r = jnp.where((y <= 0) & (outputs < 0), 0.0, y - outputs)
    squares = jnp.sum(jnp.square(y - jax.nn.relu(outputs)))
    return _exact(x.T, r), jnp.sum(r, axis=0), squares, jnp.sum(jnp.square(y))


class _Encoded(NamedTuple):
    """What the fit needs of the encoder; lists have an element for each batch.

    Attributes:
      features: (n, h, w, c) float32, whose range float16 does not have.
      feature_rms: (c,), over all photos.
      switches: of the last pool.
      places: block -> (n, s), the positions in maps of that block, counted by rows, at
        which its layers are fitted.
      targets: layer name -> (n, s, c) float32, its target there.
      target_rms: layer name -> (c,), over all positions of all photos.
    """

    features: list[jax.Array]
    feature_rms: jax.Array
    switches: list[jax.Array]
    places: dict[int, list[np.ndarray]]
    targets: dict[str, list[jax.Array]]
    target_rms: dict[str, jax.Array]


def _encode(encoder, encoder_params, photos, *, positions_per_photo, rng) -> _Encoded:
    layers = new_layers(encoder.block)
    all_layers = convolutions_up_to(encoder.block)
    before = {b.name: a for a, b in itertools.pairwise(all_layers)}

    @jax.jit
    def run(params, images, places):
        features, intermediates = encoder.apply({"params": params}, images)
        targets, squares = {}, {}
        for layer in layers:
            target = intermediates[before[layer.name].name]
            if before[layer.name].block != layer.block:
                target, _ = max_pool_argmax(target)
            flat = target.reshape(len(images), -1, target.shape[-1])
            there = places[layer.block][..., None]
            sampled = jnp.take_along_axis(flat, there, axis=1)
            targets[layer.name] = sampled.astype(jnp.float32)
            squares[layer.name] = mean_squares(target)
        squares["features"] = mean_squares(features)
        switches = intermediates["switches"][-1]
        return features.astype(jnp.float32), switches, targets, squares

    features, switches, sums = [], [], collections.defaultdict(float)
    places = {layer.block: [] for layer in layers}
    targets = {layer.name: [] for layer in layers}
    count = 0
    for images in photos:
        for block, drawn in places.items():
            total = (images.shape[1] >> (block - 1)) * (images.shape[2] >> (block - 1))
            some = [rng.permutation(total)[:positions_per_photo] for _ in images]
            drawn.append(np.stack(some).astype(np.int32))
        here = {block: drawn[-1] for block, drawn in places.items()}
        found, codes, sampled, squares = run(
            encoder_params, jnp.asarray(images, jnp.float32), here
        )
        features.append(found)
        switches.append(codes)
        for name, values in sampled.items():
            targets[name].append(values)
        for name, values in squares.items():
            sums[name] += len(images) * values
        count += len(images)
    rms = {name: floored_rms(total / count) for name, total in sums.items()}
    feature_rms = rms.pop("features")
    return _Encoded(features, feature_rms, switches, places, targets, rms)
