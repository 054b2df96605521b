"""Measure style transfer: how much structure results keep, how much style they take.

    python -m vgg_unpool_jax evaluate_style --pairs=FOLDER --output=FOLDER \
        --results=NAME=FOLDER,NAME=FOLDER

FOLDER of --pairs has content/ and style/, and content_segment/ and style_segment/ where
there are masks, with files of equal names. Results may come from any program: pictures
named like the pairs. The content itself and Reinhard's colour transfer are always
measured. Writes results.json, table.md, plot.png and page.jpg.
"""

import pathlib

from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.evaluation.pictures import contact_sheet, save_jpeg
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.load import load_vgg19_weights, weight_files

_FILES = ("results.json", "table.md", "plot.png", "page.jpg")

_PAIRS = flags.DEFINE_string("pairs", None, "Folder of content and style photos.")
_RESULTS = define_path_list("results", [], "Folders of results, NAME=FOLDER or FOLDER.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weight file up to block 5.")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.applications.stylization import report
    from vgg_unpool_jax.applications.stylization.metrics import StyleMeter
    from vgg_unpool_jax.applications.stylization.photo_pairs import (
        find_file,
        list_style_pairs,
        score_pair,
    )
    from vgg_unpool_jax.evaluation.provenance import provenance
    from vgg_unpool_jax.evaluation.results import write_results

    folders, output = _result_folders(), output_folder(_OUTPUT.value)
    pairs, left_out = list_style_pairs(_PAIRS.value)
    reads = [file for pair in pairs for file in pair.files]
    for folder in folders.values():
        reads += filter(None, (find_file(to_path(folder), p.name) for p in pairs))
    writes = [output / name for name in _FILES]
    check_outputs(writes, [*reads, *weight_files(_WEIGHTS.value)])
    for sentence in left_out:
        print(sentence)
    vgg19 = load_vgg19_weights(_WEIGHTS.value, block=5)
    meter, scores, pictures = StyleMeter(vgg19), [], {}
    lpips = _lpips()

    def keep(pair, method, picture):
        pictures.setdefault(pair, {})[method] = picture

    broken = []
    for number, pair in enumerate(pairs, start=1):
        try:
            for score in score_pair(meter, pair, folders, keep, lpips=lpips):
                scores.append(score)
                caption = report.captions([score])[pair.name, score.method]
                print(f"[{number}/{len(pairs)}] {pair.name} {caption}", flush=True)
        except PhotoError as problem:
            # The others are still measured; the command fails at the end.
            broken.append(f"{pair.name}: {problem}")
            pictures.pop(pair.name, None)
    failure = PhotoError(f"{len(broken)} of {len(pairs)} pairs: {'; '.join(broken)}")
    if not scores:
        raise failure
    table = report.style_table(scores)
    print(table)
    with replacing(output / "table.md") as file:
        file.write(table.encode())
    points = report.style_points(scores)
    report.plot_structure_against_style(points, output / "plot.png")
    titles = report.captions(scores)
    page = contact_sheet(pictures, titles=titles)
    save_jpeg(output / "page.jpg", page, max_bytes=4_000_000)
    config = {"pairs": _PAIRS.value, "results": folders, "weights": vgg19.sha256}
    records = [report.score_record(score) for score in scores]
    facts = provenance(config) | {"scores": records, "left_out": left_out + broken}
    write_results(output / "results.json", facts)
    if broken:
        raise failure


def _lpips():
    from vgg_unpool_jax.evaluation.perceptual import available_metrics

    metrics, left_out = available_metrics(["lpips"])
    for error in left_out.values():
        print(f"note: LPIPS is left out: {error}")
    return metrics[0] if metrics else None


def _result_folders() -> dict[str, str]:
    folders = {}
    for entry in _RESULTS.value:
        name, _, folder = entry.rpartition("=")
        name = name or pathlib.PurePath(folder).name
        if name in folders:
            raise ConfigError(f"--results has {name} twice: write NAME=FOLDER")
        if not to_path(folder).is_dir():
            raise ConfigError(f"--results has {folder}, which is no folder")
        folders[name] = folder
    return folders


if __name__ == "__main__":
    flags.mark_flags_as_required(["pairs", "output"])
    command.run(main)
