"""VGG19 weight files: readers, download with hash check, conversion."""

from vgg_unpool_jax.weights.errors import WeightsError, WeightsUnavailableError
from vgg_unpool_jax.weights.load import load_vgg19_weights
from vgg_unpool_jax.weights.safetensors_file import save_safetensors
from vgg_unpool_jax.weights.vgg19 import VGG19Weights, random_vgg19_weights

__all__ = [
    "VGG19Weights",
    "WeightsError",
    "WeightsUnavailableError",
    "load_vgg19_weights",
    "random_vgg19_weights",
    "save_safetensors",
]
