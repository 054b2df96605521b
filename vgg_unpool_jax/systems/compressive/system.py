"""The compressive autoencoder, as the trainer knows it."""

from vgg_unpool_jax.systems.compressive.objective import from_config
from vgg_unpool_jax.systems.compressive.release import card_parts
from vgg_unpool_jax.systems.compressive.report import CompressiveReport
from vgg_unpool_jax.systems.compressive.trained import load_compressive
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="compressive",
    make_objective=from_config,
    load=load_compressive,
    make_report=CompressiveReport,
    model_fields=("model.form", "model.channels"),
    card_parts=card_parts,
)
