"""Super-resolution, as the trainer knows it."""

from vgg_unpool_jax.systems.super_resolution.examples import make_example
from vgg_unpool_jax.systems.super_resolution.objective import from_config, prepare
from vgg_unpool_jax.systems.super_resolution.release import card_parts
from vgg_unpool_jax.systems.super_resolution.report import SuperResolutionReport
from vgg_unpool_jax.systems.super_resolution.trained import load_upscaler
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="super_resolution",
    make_objective=from_config,
    load=load_upscaler,
    make_report=SuperResolutionReport,
    make_example=make_example,
    model_fields=("model.",),
    prepare=prepare,
    card_parts=card_parts,
)
