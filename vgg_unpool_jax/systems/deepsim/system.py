"""Generators with the DeePSiM loss, as the trainer knows them."""

from vgg_unpool_jax.systems.deepsim.objective import from_config, prepare
from vgg_unpool_jax.systems.deepsim.release import card_parts
from vgg_unpool_jax.systems.deepsim.report import DeePSiMReport
from vgg_unpool_jax.systems.deepsim.trained import load_inverter
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="deepsim",
    make_objective=from_config,
    load=load_inverter,
    make_report=DeePSiMReport,
    model_fields=("model.",),
    card_parts=card_parts,
    prepare=prepare,
)
