"""Flax Linen modules; a call returns (output, dict of named intermediates)."""

from vgg_unpool_jax.models.unpooling_decoder import UnpoolingDecoder
from vgg_unpool_jax.models.vae import VAE
from vgg_unpool_jax.models.vgg19 import VGG19Encoder

__all__ = ["VAE", "UnpoolingDecoder", "VGG19Encoder"]
