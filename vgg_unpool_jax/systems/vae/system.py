"""The variational autoencoder, as the trainer knows it."""

from vgg_unpool_jax.systems.vae.objective import from_config
from vgg_unpool_jax.systems.vae.release import card_parts
from vgg_unpool_jax.systems.vae.report import VAEReport
from vgg_unpool_jax.systems.vae.trained import load_vae
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="vae",
    make_objective=from_config,
    load=load_vae,
    model_fields=(
        "model.image_size",
        "model.latent_size",
        "model.encoder_channels",
        "model.decoder_channels",
        "model.hidden_size",
        "model.learn_decoder_std",
    ),
    make_report=VAEReport,
    card_parts=card_parts,
)
