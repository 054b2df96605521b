"""Restoration of damaged photos, as the trainer knows it."""

from vgg_unpool_jax.systems.restoration.examples import make_example
from vgg_unpool_jax.systems.restoration.objective import from_config
from vgg_unpool_jax.systems.restoration.release import card_parts
from vgg_unpool_jax.systems.restoration.trained import load_restorer
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="restoration",
    make_objective=from_config,
    load=load_restorer,
    make_example=make_example,
    model_fields=("model.",),
    card_parts=card_parts,
)
