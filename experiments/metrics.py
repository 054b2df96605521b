"""Measure how close pictures are: L1, PSNR, SSIM, MS-SSIM, LPIPS, DISTS.

    python -m vgg_unpool_jax metrics --a=FILE|FOLDER --b=FILE|FOLDER [--output=FOLDER]

Pictures of two folders are paired by name, whatever their extensions. Prints the values
of each pair, their means and 95 % intervals; --output also gets results.json and
table.md. docs/metrics.md has networks and weights.
"""

from absl import flags

from experiments.cli import command
from experiments.cli.perceptual_flag import define_perceptual, load_perceptual
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation.comparison import (
    INFOS,
    compare,
    list_pairs,
    score_text,
    summaries,
    too_small,
)
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import format_table, write_results
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder

_A = flags.DEFINE_string("a", None, "Picture, or folder of pictures.")
_B = flags.DEFINE_string("b", None, "Picture or folder to compare with.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for results.json and table.md.")
_PERCEPTUAL = define_perceptual("perceptual")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.evaluation.perceptual import metric_files

    pairs = list_pairs(_A.value, _B.value)
    reads = [file for pair in pairs for file in (pair.a, pair.b)]
    output = output_folder(_OUTPUT.value) if _OUTPUT.value else None
    perceptual = load_perceptual(_PERCEPTUAL.value)
    if output:
        files = metric_files([metric.name for metric in perceptual])
        writes = [output / name for name in ("results.json", "table.md")]
        check_outputs(writes, [*reads, *files])
    scores, sizes, broken = {}, [], []
    for number, pair in enumerate(pairs, start=1):
        try:
            a, b = pair.read()
        except PhotoError as error:
            # The others are still measured; the command fails at the end.
            broken.append(str(error))
            continue
        sizes.append(a.shape[:2])
        scores[pair.name] = score = compare(a, b, perceptual)
        text = f"[{number}/{len(pairs)}] {pair.name}: {score_text(score)}"
        print(text, flush=True)
    failure = PhotoError(f"{len(broken)} of {len(pairs)} pairs: {'; '.join(broken)}")
    if not scores:
        raise failure
    found = summaries(list(scores.values()))
    print("\n".join(["", format_table(found, INFOS), *too_small(sizes, perceptual)]))
    if output:
        _write(output, scores, found, perceptual, broken)
    if broken:
        raise failure


def _write(output, scores, found, perceptual, broken):
    names = [name for name in INFOS if name in found]
    rows = [["picture", *(INFOS[name].title for name in names)]]
    means = {name: found[name].mean for name in names}
    for title, score in [*scores.items(), ("**mean**", means)]:
        cells = (
            f"{score[name]:.{INFOS[name].decimals}f}" if name in score else ""
            for name in names
        )
        rows.append([title, *cells])
    with replacing(output / "table.md") as file:
        file.write(f"{markdown_table(rows)}\n".encode())
    facts = {
        **provenance({"a": _A.value, "b": _B.value}),
        "metrics": found,
        "pairs": scores,
        "left_out": broken,
        "perceptual_weights": {metric.name: metric.record for metric in perceptual},
    }
    write_results(output / "results.json", facts)
    print(f"results: {output / 'results.json'}\ntable: {output / 'table.md'}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["a", "b"])
    command.run(main)
