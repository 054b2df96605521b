"""What a staged decoder takes from many photos and from a released pair.

Both layers of stages 0 to 3 are fitted by least squares as those of unpooling decoders
(`systems/unpooling/closed_form.py`): the first from the encoder's features to what the
encoder has between the two, the second from the map that the first gives to the target.
The last stage is the decoder of a pair of block 1, which has the same two layers.
"""

import collections
import functools
import logging
import math
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.systems.staged.decoder import (
    IMAGE,
    STAGES,
    encode,
    input_name,
    target_name,
)
from vgg_unpool_jax.systems.staged.objective import (
    BANK,
    StagedObjective,
    photo_statistics,
)
from vgg_unpool_jax.systems.unpooling.closed_form import (
    POSITIONS,
    fit_relu_layer,
    next_map,
    patch_chunks,
)
from vgg_unpool_jax.systems.unpooling.decoder import (
    STATISTICS,
    floored_rms,
    mean_squares,
)

_LOG = logging.getLogger(__name__)

INITIALIZATIONS = ("he", "closed_form")


def prepare(
    config: ml_collections.ConfigDict,
    objective: StagedObjective,
    params: Mapping,
    model_state: Mapping,
    crops: Callable[[int, int, int], Iterable[np.ndarray]],
) -> tuple[dict, dict]:
    """Measure statistics on many photos and fit the layers.

    Args:
      config: of the run. `preparation` has the photos; `initialize_shared_from` names
        the pair of block 1.
      objective: of the system.
      params: of a new decoder.
      model_state: as from `objective.init`.
      crops: see `training/system.System`.

    Returns:
      New (params, model_state).
    """
    if config.initialization not in INITIALIZATIONS:
        raise ConfigError(
            f"initialization must be one of {', '.join(INITIALIZATIONS)}, got "
            f"{config.initialization!r}"
        )
    preparation = config.preparation
    count = preparation.num_photos
    if not count:  # statistics are those of the first batch
        if config.initialization == "closed_form":
            raise ConfigError(
                "for 'closed_form' preparation.num_photos must be positive"
            )
        return dict(params), dict(model_state)
    photos = functools.partial(
        crops, count, preparation.image_size, preparation.batch_size
    )
    run = _encoder_of(objective)
    model_state = {**model_state, **_measure(objective, run, photos())}
    params, rms = dict(params), model_state[STATISTICS]
    if config.initialize_shared_from:
        pair = read_saved(config.initialize_shared_from, "unpooling")
        _check_pair(config, pair)
        for layer in STAGES[IMAGE]:
            params[layer.name] = pair.variables["params"][layer.name]
        feature_rms = on_device(pair.variables[STATISTICS]["feature_rms"])
        model_state[STATISTICS] = rms = {**rms, input_name(IMAGE): feature_rms}
    if config.initialization == "closed_form":
        for number in range(IMAGE):
            rng = np.random.default_rng([config.seed, number])
            params |= _fit_stage(objective, run, number, photos(), count, rms, rng)
    return tree_on_device(params), model_state


def _check_pair(config, pair) -> None:
    theirs, origin = pair.config, config.initialize_shared_from
    scale = theirs.decoder.get("output_scale", 1.0)
    normalized = theirs.decoder.get("normalize_features", False)
    if theirs.encoder.block != 1 or not normalized:
        raise ConfigError(
            "initialize_shared_from must name a pair of block 1 with "
            f"decoder.normalize_features, got {origin} of block {theirs.encoder.block}"
        )
    if scale != config.decoder.output_scale:
        raise ConfigError(
            f"initialize_shared_from: the decoder of {origin} has decoder.output_scale "
            f"{scale}, and this config has {config.decoder.output_scale}"
        )


def _measure(objective: StagedObjective, run, photos: Iterable[np.ndarray]) -> dict:
    """RMS of all channels, and the bank of the photos' statistics."""
    sums, banks, count = collections.defaultdict(float), [], 0
    summarize = jax.jit(lambda e: (objective.mean_squares(e), photo_statistics(e)))
    for images in photos:
        squares, bank = summarize(run(objective.frozen["encoder"], images)[0])
        for name, values in squares.items():
            sums[name] += len(images) * values
        banks.append(bank)
        count += len(images)
    bank = jax.tree.map(
        lambda *parts: jnp.resize(
            jnp.concatenate(parts), (objective.bank_size, parts[0].shape[1])
        ),
        *banks,
    )
    rms = {name: floored_rms(total / count) for name, total in sums.items()}
    return {STATISTICS: rms, BANK: bank}


def _fit_stage(
    objective, run, number: int, photos, count: int, rms: Mapping, rng
) -> dict:
    """Parameters of the two layers of a stage."""
    first, second = STAGES[number]
    per_photo = math.ceil(POSITIONS / count)
    maps, places, targets, squares = [], [], ([], []), 0.0
    for images in photos:
        encoding, between = run(objective.frozen["encoder"], images)
        x = encoding.inputs[number]
        total = x.shape[1] * x.shape[2]
        drawn = np.stack([rng.permutation(total)[:per_photo] for _ in images])
        wanted = between[number], encoding.targets[number]
        for kept, values in zip(targets, wanted, strict=True):
            kept.append(_sample(values, drawn))
        maps.append(x)
        places.append(drawn)
        squares += len(images) * mean_squares(between[number])
    between_rms = floored_rms(squares / sum(map(len, maps)))
    scale, fitted = rms[input_name(number)], {}
    for layer, wanted, wanted_rms in zip(
        (first, second), targets, (between_rms, rms[target_name(number)]), strict=True
    ):
        chunks = functools.partial(
            patch_chunks, maps, scale, places, wanted, jnp.asarray(wanted_rms)
        )
        weights, bias, error = fit_relu_layer(chunks)
        kernel = weights.reshape(3, 3, layer.outputs, layer.inputs)
        _LOG.info("%s: fitted, relative squared error %.3f", layer.name, error)
        fitted[layer.name] = {"kernel": kernel, "bias": bias}
        if layer is first:
            maps = [next_map(x, scale, kernel, bias, None) for x in maps]
            scale = jnp.ones_like(bias)
    return fitted


@jax.jit
def _sample(maps: jax.Array, places: jax.Array) -> jax.Array:
    """(n, s, c) of maps (n, h, w, c) at positions (n, s), counted by rows."""
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    return jnp.take_along_axis(flat, places[..., None], axis=1)


def _encoder_of(objective: StagedObjective):
    """Compiled (params, images) -> encoding, and what lies within each stage."""

    def run(params, images):
        images = images.astype(jnp.float32)
        _, found = objective.encoder.apply({"params": params}, images)
        encoding = encode(objective.encoder, params, images)
        # Of the two layers of a stage, the second comes first in the encoder.
        between = [found[second.name] for _, second in STAGES]
        found = jax.tree.map(lambda x: x.astype(jnp.float32), (encoding, between))
        return found

    return jax.jit(run)
