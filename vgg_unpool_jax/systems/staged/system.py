"""Staged decoders of VGG19, as the trainer knows them."""

from vgg_unpool_jax.systems.staged.objective import from_config
from vgg_unpool_jax.systems.staged.release import card_parts
from vgg_unpool_jax.systems.staged.start import prepare
from vgg_unpool_jax.systems.staged.trained import load_staged_decoder
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="staged",
    make_objective=from_config,
    load=load_staged_decoder,
    model_fields=("decoder.",),
    prepare=prepare,
    card_parts=card_parts,
)
