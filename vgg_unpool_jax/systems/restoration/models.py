"""The networks of the restoration system, by the name that a config gives them."""

import flax.linen as nn
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.restoration.autoencoders import FORMS, Autoencoder
from vgg_unpool_jax.systems.restoration.densenet import TRANSITIONS, DenseNet
from vgg_unpool_jax.systems.restoration.restorer import BACKBONES, Restorer

NAMES = (*FORMS, "densenet", *BACKBONES)
_FIELDS = {
    "densenet": ("width", "growth", "blocks", "last_block", "transitions", "dropout"),
    **{name: ("widths",) for name in FORMS},
    **{name: ("widths", "blocks") for name in BACKBONES},
}


def make_model(config: ml_collections.ConfigDict) -> nn.Module:
    """The module of a config's section `model`."""
    fields = config.model.to_dict()
    name = fields.pop("name", None)
    if name not in NAMES:
        raise ConfigError(f"model.name must be one of {', '.join(NAMES)}, got {name!r}")
    if set(fields) != set(_FIELDS[name]):
        raise ConfigError(
            f"model.name {name!r} goes with the fields {', '.join(_FIELDS[name])}, "
            f"this config has {', '.join(fields) or 'none'}: take another variant"
        )
    # ConfigDict gives lists; a module's attributes are hashed.
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    for field in ("widths", "blocks"):
        if field in fields and min(fields[field], default=0) < 1:
            raise _refusal(field, "positive numbers", fields[field])
    if name == "densenet":
        return _make_densenet(fields)
    if name in BACKBONES:
        return _make_restorer(name, **fields)
    levels, convolutions, skips = FORMS[name]
    widths = fields["widths"]
    if len(widths) != levels + 1:
        raise _refusal("widths", f"{levels + 1} numbers for {name}", widths)
    return Autoencoder(widths, convolutions, skips)


def _make_densenet(fields) -> DenseNet:
    if fields["transitions"] not in TRANSITIONS:
        raise _refusal(
            "transitions", f"one of {', '.join(TRANSITIONS)}", fields["transitions"]
        )
    for field in ("width", "growth", "last_block"):
        if fields[field] < 1:
            raise _refusal(field, "at least 1", fields[field])
    if not 0 <= fields["dropout"] < 1:
        raise _refusal("dropout", "in [0, 1)", fields["dropout"])
    if len(fields["blocks"]) < 2:
        raise _refusal("blocks", "two numbers or more", fields["blocks"])
    return DenseNet(**fields)


def _make_restorer(name, widths, blocks) -> Restorer:
    if name == "dncnn" and (len(widths), len(blocks)) != (1, 1):
        raise _refusal("widths and blocks", "one number each for dncnn", widths, blocks)
    if name == "dncnn" and blocks[0] < 2:
        raise _refusal("blocks", "at least 2 for dncnn", blocks)
    if len(widths) != len(blocks):
        raise _refusal("widths and blocks", "as many numbers each", widths, blocks)
    return Restorer(name, widths, blocks)


def _refusal(field, wanted, *found) -> ConfigError:
    shown = " and ".join(map(str, found))
    return ConfigError(f"model.{field} must be {wanted}, got {shown}")
