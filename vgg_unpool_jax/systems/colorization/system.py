"""Colourisation, as the trainer knows it."""

from vgg_unpool_jax.systems.colorization.objective import from_config, prepare
from vgg_unpool_jax.systems.colorization.release import card_parts
from vgg_unpool_jax.systems.colorization.report import ColorizationReport
from vgg_unpool_jax.systems.colorization.trained import load_colorizer
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="colorization",
    make_objective=from_config,
    load=load_colorizer,
    make_report=ColorizationReport,
    model_fields=("model.",),
    prepare=prepare,
    card_parts=card_parts,
)
