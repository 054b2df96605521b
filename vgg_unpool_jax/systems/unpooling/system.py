"""VGG19 encoders with unpooling decoders, as the trainer knows them."""

from vgg_unpool_jax.systems.unpooling.initialization import prepare
from vgg_unpool_jax.systems.unpooling.objective import from_config
from vgg_unpool_jax.systems.unpooling.pair import load_pair
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="unpooling",
    make_objective=from_config,
    load=load_pair,
    model_fields=("encoder.block", "decoder."),
    prepare=prepare,
)
