"""Measure style transfer: how much structure results keep, how much style they take.

    python -m vgg_unpool_jax evaluate_style --pairs=FOLDER --output=FOLDER \
        --results=NAME=FOLDER,NAME=FOLDER

FOLDER of --pairs has content/ and style/, content_segment/ and style_segment/ where
there are masks, and target/ where right results are known, with files of equal names.
Results may come from any program: pictures named like the pairs; --looks makes those
of this one first. The content itself, Reinhard's colour transfer and the affine
transport of RGB are always measured. Writes results.json, table.md, plot.png and
page.jpg.

    python -m vgg_unpool_jax evaluate_style --self_reference --photos=FOLDER \
        --looks=balanced,faithful --output=FOLDER

makes the pairs from photos: content and style are two places of one photo, and the
content is disturbed in brightness, contrast, saturation and hue.
"""

import dataclasses
import pathlib

from absl import flags

from experiments.cli import command
from experiments.cli.path_list_flag import define_path_list
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.stylization.looks import LOOKS
from vgg_unpool_jax.applications.stylization.options import AUTOMATIC_REGIONS
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.io.outputs import check_outputs, output_folder
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.pretrained.load import load_vgg19_weights, weight_files

_FILES = ("results.json", "table.md", "plot.png", "page.jpg")

_PAIRS = flags.DEFINE_string("pairs", None, "Folder of content and style photos.")
_RESULTS = define_path_list("results", [], "Folders of results, NAME=FOLDER or FOLDER.")
_LOOKS = flags.DEFINE_list("looks", [], f"Looks to measure: {', '.join(LOOKS)}.")
_MODEL = flags.DEFINE_string("model", "vgg19-style", "Staged decoder of --looks.")
_AUTO = flags.DEFINE_integer(
    "auto_regions", AUTOMATIC_REGIONS, "Regions that --looks finds without masks.", 0
)
_SELF = flags.DEFINE_bool("self_reference", False, "Make the pairs from --photos.")
_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos of --self_reference.")
_COUNT = flags.DEFINE_integer("count", 0, "Photos of --self_reference; 0: all.", 0)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the report.")
_WEIGHTS = flags.DEFINE_string("weights", None, "VGG19 weight file up to block 5.")


def main() -> None:
    """Run the command."""
    from vgg_unpool_jax.applications.stylization import photo_pairs, report
    from vgg_unpool_jax.applications.stylization.metrics import StyleMeter
    from vgg_unpool_jax.applications.stylization.stylized_pairs import stylize_pairs
    from vgg_unpool_jax.evaluation.provenance import provenance
    from vgg_unpool_jax.evaluation.results import write_results

    if not _LOOKS.value:
        note_unused("no --looks are stylised", "model", "auto_regions")
    if not _SELF.value:
        note_unused("pairs are not made from --photos", "count")
    folders, output = _result_folders(), output_folder(_OUTPUT.value)
    if bool(_PAIRS.value) == _SELF.value or _SELF.value != bool(_PHOTOS.value):
        raise ConfigError("name --pairs, or --self_reference and --photos")
    pairs, left_out = _list_pairs(output)
    reads = [file for pair in pairs for file in pair.files]
    for folder in map(to_path, folders.values()):
        found = (photo_pairs.find_file(folder, pair.name) for pair in pairs)
        reads += filter(None, found)
    reads += weight_files(_WEIGHTS.value)
    check_outputs([output / name for name in _FILES], reads)
    for sentence in left_out:
        print(sentence)
    vgg19 = load_vgg19_weights(_WEIGHTS.value, block=5)
    made = stylize_pairs(
        pairs,
        _LOOKS.value,
        output / "results",
        model=_MODEL.value,
        vgg19=_WEIGHTS.value,
        automatic=_AUTO.value,
        progress=lambda line: print(line, flush=True),
    )
    folders, broken = folders | made.folders, list(made.broken)
    meter, lpips, scores, pictures = StyleMeter(vgg19), _lpips(), [], {}

    def keep(pair, method, picture):
        pictures.setdefault(pair, {})[method] = picture

    for number, pair in enumerate(pairs, start=1):
        try:
            found = photo_pairs.score_pair(meter, pair, folders, keep, lpips=lpips)
            for score in found:
                known = made.seconds.get((pair.name, score.method))
                scores.append(dataclasses.replace(score, seconds=known))
                caption = report.captions([score])[pair.name, score.method]
                print(f"[{number}/{len(pairs)}] {pair.name} {caption}", flush=True)
        except PhotoError as problem:
            # The others are still measured; the command fails at the end.
            broken.append(f"{pair.name}: {problem}")
            pictures.pop(pair.name, None)
    failure = PhotoError(f"{len(broken)} of {len(pairs)} pairs: {'; '.join(broken)}")
    if not scores:
        raise failure
    print(report.write_report(scores, pictures, output))
    config = {"pairs": _PAIRS.value, "photos": _PHOTOS.value, "results": folders}
    facts = provenance(config | {"weights": vgg19.sha256})
    facts["scores"] = [report.score_record(score) for score in scores]
    facts["left_out"] = left_out + broken
    write_results(output / "results.json", facts)
    if broken:
        raise failure


def _list_pairs(output):
    """The pairs of --pairs, or those that are made of --photos."""
    from vgg_unpool_jax.applications.stylization.photo_pairs import list_style_pairs
    from vgg_unpool_jax.applications.stylization.self_reference import make_pairs

    if _SELF.value:
        return make_pairs(_PHOTOS.value, output / "pairs", count=_COUNT.value), []
    return list_style_pairs(_PAIRS.value)


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
        if name in folders or name in _LOOKS.value:
            raise ConfigError(f"there are two methods {name}: write NAME=FOLDER")
        if not to_path(folder).is_dir():
            raise ConfigError(f"--results has {folder}, which is no folder")
        folders[name] = folder
    return folders


if __name__ == "__main__":
    flags.mark_flags_as_required(["output"])
    command.run(main)
