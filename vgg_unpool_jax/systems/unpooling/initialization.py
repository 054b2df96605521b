"""Initial parameters and statistics of an unpooling decoder.

Drawn kernels have He's scale, with which a ReLU layer preserves the mean square of its
input. `prepare` then measures the decoder's input on many photos, copies layers of
another decoder, and fits those that it lacks.
"""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.ops.placing import on_device
from vgg_unpool_jax.systems.saved import SavedModel, read_saved
from vgg_unpool_jax.systems.unpooling.closed_form import BLOCKS, fit_new_layers
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS

_LOG = logging.getLogger(__name__)

INITIALIZATIONS = ("he", "orthogonal", "encoder", "closed_form")


def check_initialization(name: str) -> None:
    """Raise `ConfigError` unless `name` is one of `INITIALIZATIONS`."""
    if name not in INITIALIZATIONS:
        raise ConfigError(
            f"initialization must be one of {', '.join(INITIALIZATIONS)}, got {name!r}"
        )


def initialize_kernels(
    name: str, key: jax.Array, params: Mapping, encoder_params: Mapping
) -> dict:
    """Replace the 3×3 kernels of a new decoder.

    Args:
      name: "he" and "closed_form", which replaces them later, keep the decoder's
        normally distributed kernels; "orthogonal" draws orthogonal filters; "encoder"
        takes the scaled transpose of the encoder's kernel of the same layer.
      key: for "orthogonal".
      params: layer name -> {"kernel": (3, 3, i, o), "bias": (o,)} of the decoder.
      encoder_params: of the encoder, whose kernel of the same name is (3, 3, o, i).

    Returns:
      Parameters like `params`. Layers that the encoder does not have are unchanged.
    """
    check_initialization(name)
    replaced = dict(params)
    if name in ("he", "closed_form"):
        return replaced
    for number, layer in enumerate(sorted(params.keys() & encoder_params.keys())):
        kernel = params[layer]["kernel"]
        if name == "orthogonal":
            orthogonal = nn.initializers.orthogonal()
            layer_key = jax.random.fold_in(key, number)
            new = _scaled_like_he(orthogonal(layer_key, kernel.shape, kernel.dtype))
        else:
            mirrored = jnp.asarray(encoder_params[layer]["kernel"])[::-1, ::-1]
            new = _scaled_like_he(mirrored.swapaxes(2, 3))
        replaced[layer] = {**params[layer], "kernel": new}
    return replaced


def _scaled_like_he(kernel: jax.Array) -> jax.Array:
    mean_square = jnp.mean(jnp.square(kernel))
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    return kernel * jnp.sqrt(2.0 / fan_in / mean_square)


def prepare(
    config: ml_collections.ConfigDict,
    objective,
    params: Mapping,
    model_state: Mapping,
    crops: Callable[[int, int, int], Iterable[np.ndarray]],
) -> tuple[dict, dict]:
    """What a decoder takes from many photos and from another decoder.

    Args:
      config: of the run. `preparation` has the photos, `initialize_shared_from` the
        other decoder: a workdir or a release.
      objective: an `UnpoolingObjective`.
      params: of a new decoder.
      model_state: its statistics, measured on the first batch.
      crops: see `training/system.System`.

    Returns:
      New (params, model_state).
    """
    preparation = config.preparation
    photos = functools.partial(
        crops,
        preparation.num_photos,
        preparation.image_size,
        preparation.batch_size,
    )
    other = None
    if config.initialize_shared_from:
        other = _read_decoder(config)
        params = _share_layers(config, other.variables["params"], params)
    if config.initialization == "closed_form":
        _check_closed_form(config, other)
        fitted = fit_new_layers(
            objective.encoder,
            objective.frozen["encoder"],
            other.variables[STATISTICS]["feature_rms"],
            photos(),
            preparation.num_photos,
            seed=config.seed,
        )
        params, rms = {**params, **fitted.params}, fitted.feature_rms
    elif not config.decoder.normalize_features:
        return dict(params), dict(model_state)
    elif other is not None and other.config.encoder.block == config.encoder.block:
        # All layers come from the other decoder, and were trained with its statistics.
        rms = on_device(other.variables[STATISTICS]["feature_rms"])
    elif preparation.num_photos:
        rms = objective.measure_feature_rms(photos())
    else:  # that of the first batch
        return dict(params), dict(model_state)
    statistics = {**model_state[STATISTICS], "feature_rms": rms}
    return dict(params), {**model_state, STATISTICS: statistics}


def _read_decoder(config) -> SavedModel:
    origin = config.initialize_shared_from
    other = read_saved(origin, config.system)
    # The last layer, which all decoders share, was trained for this scale; and a
    # decoder of the same block for normalised features, or not.
    fields = {"output_scale": 1.0}
    if other.config.encoder.block == config.encoder.block:
        fields["normalize_features"] = False
    for field, default in fields.items():
        theirs, ours = other.config.decoder.get(field, default), config.decoder[field]
        if theirs != ours:
            raise ConfigError(
                f"initialize_shared_from: the decoder of {origin} has decoder.{field} "
                f"{theirs}, and this config has {ours}"
            )
    return other


def _share_layers(config, saved: Mapping, params: Mapping) -> dict:
    """Replace layers by those of another decoder with equal shapes."""
    origin = config.initialize_shared_from
    shared = {
        name: layer
        for name, layer in saved.items()
        if name in params and _shapes(layer) == _shapes(params[name])
    }
    if not shared:
        raise ConfigError(
            f"initialize_shared_from: the decoder of {origin} has no layer in common "
            "with this model"
        )
    _LOG.info("%s: as in the decoder of %s", ", ".join(sorted(shared)), origin)
    return {**params, **shared}


def _check_closed_form(config, other: SavedModel | None) -> None:
    """Refuse a run whose decoder cannot be fitted in front of the other one."""
    block = config.encoder.block
    needed = {
        f"encoder.block must be {' or '.join(map(str, BLOCKS))}": block in BLOCKS,
        "decoder.normalize_features must be true": config.decoder.normalize_features,
        "decoder.upsampling must be unpool": config.decoder.upsampling == "unpool",
        "preparation.num_photos must be positive": config.preparation.num_photos > 0,
        f"initialize_shared_from must name a decoder of block {block - 1} with "
        "decoder.normalize_features": other is not None
        and other.config.encoder.block == block - 1
        and other.config.decoder.get("normalize_features", False),
    }
    for sentence, holds in needed.items():
        if not holds:
            raise ConfigError(f"for initialization 'closed_form' {sentence}")


def _shapes(tree):
    return jax.tree.map(lambda array: array.shape, tree)
