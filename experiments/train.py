"""Train a system, or go on with a training that was interrupted.

    python -m experiments.train --config=configs/vgg19_block1.py --workdir=W

A field of the config is set by its path, a variant by its name behind a colon:

    --config=configs/vgg19_block1.py:best --config.data.source=folder:PHOTOS

The same command started again goes on from the newest checkpoint of the workdir.
Several processes may share the work: docs/distributed.md.
"""

from absl import flags
from ml_collections import config_flags

from experiments import command
from vgg_unpool_jax.runtime.cpu_devices import device_per_core
from vgg_unpool_jax.runtime.processes import read_layout
from vgg_unpool_jax.systems import train_and_evaluate

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Experiment: FILE, or FILE:VARIANT. See configs/."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "For checkpoints, pictures, all: a folder, or gs://BUCKET/PATH."
)
_MAX_MINUTES = flags.DEFINE_float(
    "max_minutes",
    None,
    "Stop with a checkpoint after this many minutes; the same command goes on later.",
    lower_bound=0.0,
)


def main() -> None:
    """Run the command."""
    config = _CONFIG.value
    if config.get("device_per_core", False):
        layout = read_layout()
        device_per_core(
            config.data.batch_size,
            config.evaluation.batch_size,
            processes=layout.count,
            here=layout.here,
        )
    result = train_and_evaluate(config, _WORKDIR.value, max_minutes=_MAX_MINUTES.value)
    print(f"step {int(result.state.step)} of {result.total_steps} in {_WORKDIR.value}")
    for name, value in result.metrics.items():
        print(f"  validation {name}: {value:.4g}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    command.run(main, shares_work=True)
