"""Print the Markdown table of the five pairs from their result files.

    python -m vgg_unpool_jax release_table --results=runs/block1/results.json,FILE2,...

A pair without a file reads "not trained yet"; what a file lacks stays empty.
"""

from absl import flags

from experiments.cli import command
from vgg_unpool_jax.systems.unpooling.table import read_pair_results, release_table

_RESULTS = flags.DEFINE_list(
    "results", None, "Result files of the evaluate command, at most one a block."
)


def main() -> None:
    """Run the command."""
    print(release_table(read_pair_results(path) for path in _RESULTS.value))


if __name__ == "__main__":
    flags.mark_flag_as_required("results")
    command.run(main)
