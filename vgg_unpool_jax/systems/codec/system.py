"""The learned codec, as the trainer knows it."""

from vgg_unpool_jax.systems.codec.objective import from_config
from vgg_unpool_jax.systems.codec.preparation import prepare
from vgg_unpool_jax.systems.codec.release import card_parts
from vgg_unpool_jax.systems.codec.report import CodecReport
from vgg_unpool_jax.systems.codec.trained import load_codec
from vgg_unpool_jax.training.system import System

SYSTEM = System(
    name="codec",
    make_objective=from_config,
    load=load_codec,
    make_report=CodecReport,
    model_fields=("model.",),
    prepare=prepare,
    card_parts=card_parts,
)
