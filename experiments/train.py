"""Train a system, or resume a training that was interrupted.

    python -m vgg_unpool_jax train --config=vgg19_block1 --workdir=W

A field of the config is set by its path, a variant by its name after a colon:

    --config=vgg19_block1:best --config.data.source=folder:PHOTOS

The config is a file, or the name of one of configs/. The same command started again
resumes from the newest checkpoint of the workdir. Several processes may share the work:
docs/distributed.md.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.config_flag import define_config
from vgg_unpool_jax.systems import find, train_and_evaluate

_CONFIG = define_config("config", "Experiment: NAME or FILE, optionally with :VARIANT.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run's files, or gs://BUCKET/PATH."
)
_MAX_MINUTES = flags.DEFINE_float(
    "max_minutes",
    None,
    "Stop with a checkpoint after this many minutes; the same command resumes.",
    lower_bound=0.0,
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Check and print the config and the size of the run; no training."
)


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.runtime.cpu_devices import device_per_core
    from vgg_unpool_jax.runtime.processes import read_layout
    from vgg_unpool_jax.training.stages import batch_sizes

    config = _CONFIG.value
    if config.get("device_per_core", False):
        layout = read_layout()
        device_per_core(
            *batch_sizes(config.data),
            config.evaluation.batch_size,
            processes=layout.count,
            here=layout.here,
        )
    if _DRY_RUN.value:
        from vgg_unpool_jax.training.dry_run import describe_run

        print(describe_run(config, _WORKDIR.value, find(config.system)))
        return
    result = train_and_evaluate(config, _WORKDIR.value, max_minutes=_MAX_MINUTES.value)
    print(f"step {int(result.state.step)} of {result.total_steps} in {_WORKDIR.value}")
    for name, value in result.metrics.items():
        print(f"  validation {name}: {value:.4g}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    command.run(main, shares_work=True)
