"""Image autoencoders in JAX/Flax whose decoders know where things were."""

import importlib

from vgg_unpool_jax.version import __version__

# Names of the top level and the modules they live in. They are imported when they are
# first used: reader processes of the data loader import this package too and would
# otherwise pay for JAX, Flax and Orbax.
_HOMES = {
    "Encoder": "systems.unpooling.pair",
    "OnePassStylizer": "applications.stylization.one_pass",
    "Pair": "systems.unpooling.pair",
    "Stylizer": "applications.stylization.cascade",
    "TrainedCodec": "systems.codec.trained",
    "TrainedColorizer": "systems.colorization.trained",
    "TrainedInverter": "systems.deepsim.trained",
    "TrainedRestorer": "systems.restoration.trained",
    "TrainedUpscaler": "systems.super_resolution.trained",
    "TrainedVAE": "systems.vae.trained",
    "any_range": "ops.photo_range",
    "load_codec": "systems.codec.trained",
    "load_colorizer": "systems.colorization.trained",
    "load_dists": "evaluation.perceptual",
    "load_encoder": "systems.unpooling.pair",
    "load_inverter": "systems.deepsim.trained",
    "load_lpips": "evaluation.perceptual",
    "load_one_pass": "applications.stylization.one_pass",
    "load_pair": "systems.unpooling.pair",
    "load_restorer": "systems.restoration.trained",
    "load_trained": "systems",
    "load_upscaler": "systems.super_resolution.trained",
    "load_vae": "systems.vae.trained",
    "max_pool_argmax": "ops",
    "max_unpool": "ops",
    "transfer_look": "applications.stylization.finishing",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
