"""Photorealistic style transfer: give photos the look of another photo.

    python -m vgg_unpool_jax stylize --content=FILE_OR_FOLDER --style=FILE --output=… \
        [--content_mask=… --style_mask=… | --auto_regions=3] [--alpha=0.8] [--grid]

Any size and aspect; the result has the photo's size. See docs/style_transfer.md.
"""

import time

from absl import flags

from experiments.cli import command, style_flags
from experiments.cli.each import print_peak_memory
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.stylization import options
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.evaluation.pictures import LOSSLESS_SUFFIXES, PHOTO_SUFFIXES
from vgg_unpool_jax.io.outputs import check_outputs
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.training.progress import follow

_CONTENT_MASK = flags.DEFINE_string(
    "content_mask", None, "Segmentation map of the photo, or a folder of maps."
)
_AUTO = flags.DEFINE_integer(
    "auto_regions",
    options.AUTOMATIC_REGIONS,
    "Regions to find in photos without masks, where the style is one photo; 0: none.",
    0,
)
_FACES = flags.DEFINE_float(
    "keep_faces",
    options.KEEP_FACES,
    "Share of a change of colour that faces do not take; 0: they change as the rest.",
    0.0,
    1.0,
)
_LUT = flags.DEFINE_string(
    "lut", None, "Write the transfer's colours of one photo to this .cube file."
)
_FORMAT = flags.DEFINE_enum(
    "format", ".png", PHOTO_SUFFIXES, "Format of the files in an output folder."
)
_QUALITY = flags.DEFINE_integer("quality", 95, "Quality of JPEG, WebP, AVIF.", 1, 100)
_GRID = flags.DEFINE_bool("grid", False, "Write side-by-side pictures as well.")
_SHEET = flags.DEFINE_bool(
    "contact_sheet", False, "Write one picture of the photo in each of the styles."
)
_SAVE_STYLE = flags.DEFINE_string(
    "save_style", None, "Keep the style's statistics in this .safetensors file."
)


def main() -> None:
    """Run the command."""
    # Imported here: --help does without JAX.
    from vgg_unpool_jax.applications.stylization.files import (
        FileStylizer,
        list_content_files,
    )
    from vgg_unpool_jax.applications.stylization.style_sheet import write_style_sheet

    content, output = style_flags.CONTENT.value, style_flags.OUTPUT.value
    files = list_content_files(content, output, _CONTENT_MASK.value, _FORMAT.value)
    styles = style_flags.styles()
    writes = [path for file in files for path in (file.output, file.grid)]
    writes = writes if _GRID.value else writes[::2]
    writes += filter(None, (_SAVE_STYLE.value, _LUT.value))
    if len(files) > 1 and (_LUT.value or _SHEET.value):
        flag = "contact_sheet" if _SHEET.value else "lut"
        raise ConfigError(f"--{flag} is of one photo, and there are {len(files)}")
    if _LUT.value and to_path(_LUT.value).suffix.lower() != ".cube":
        raise ConfigError(f"--lut names a file that ends in .cube, got {_LUT.value}")
    reads = [path for file in files for path in (file.path, file.mask) if path]
    check_outputs(writes, reads + style_flags.files_read())
    _note_unused_flags(files)
    settings = {
        "vgg19": style_flags.WEIGHTS.value,
        "smoothing": style_flags.SMOOTHING.value or options.DIFFERENCE,
        "look": style_flags.look(),
        "alpha": style_flags.ALPHA.value,
        "strengths": style_flags.strengths(),
        "max_side": style_flags.MAX_SIDE.value,
        "faces": _FACES.value,
        "progress": follow,
    }
    stylizer = style_flags.stylizer()
    if _SHEET.value:
        settings |= {"automatic": _AUTO.value, "quality": _QUALITY.value}
        write_style_sheet(stylizer, files[0], styles, **settings)
        print_peak_memory()
        return
    work = FileStylizer(stylizer, styles, automatic=_automatic(styles), **settings)
    if _SAVE_STYLE.value:
        work.measure(styles[0]).write(_SAVE_STYLE.value)
    broken = []
    for number, file in enumerate(files, start=1):
        start = time.perf_counter()
        try:
            work.stylize(file, grid=_GRID.value, quality=_QUALITY.value, lut=_LUT.value)
        except PhotoError as problem:
            # One bad file must not cost the others; the command fails at the end.
            broken.append(str(problem))
            continue
        for note in work.notes:
            print(f"note: {note}")
        seconds = time.perf_counter() - start
        print(f"[{number}/{len(files)}] {file.output} {seconds:.1f} s", flush=True)
    print_peak_memory()
    if broken:
        raise PhotoError(f"{len(broken)} of {len(files)} photos: {'; '.join(broken)}")


def _automatic(styles) -> int:
    """The number of regions to look for; a file of statistics has its own."""
    one_photo = len(styles) == 1 and not styles[0].is_saved
    if one_photo or flags.FLAGS["auto_regions"].present:
        return _AUTO.value
    return 0


def _note_unused_flags(files) -> None:
    style_flags.note_unused_flags()
    if _SHEET.value:
        unused = "grid", "lut", "save_style", "style_shares"
        note_unused("--contact_sheet writes one picture", *unused)
    if _CONTENT_MASK.value:
        note_unused("the photos have masks", "auto_regions")
    elif _automatic(style_flags.styles()):
        note_unused("--auto_regions finds the regions of both photos", "style_mask")
    elif not _SAVE_STYLE.value:
        note_unused("the photos have no regions without --content_mask", "style_mask")
    if len(files) == 1 and files[0].output == to_path(style_flags.OUTPUT.value):
        note_unused("the name of --output has the format", "format")
    if style_flags.SMOOTHING.value == options.LUT:
        note_unused("the table of --smoothing=lut is for all pixels", "keep_faces")
    if (suffix := files[0].output.suffix.lower()) in LOSSLESS_SUFFIXES:
        note_unused(f"{suffix} files keep every value", "quality")
    if len(style_flags.STYLE.value) > 1 and _SAVE_STYLE.value:
        print("note: --save_style keeps the first of the styles alone")


if __name__ == "__main__":
    flags.mark_flags_as_required(["content", "style", "output"])
    command.run(main)
