"""Photorealistic style transfer for films: a video file, or a folder of frames.

    python -m vgg_unpool_jax stylize_video --content=FILE_OR_FOLDER --style=FILE \
        --output=FILE_OR_FOLDER [--look=faithful] [--measure]

Writes a video file (.mp4, .mov, .mkv) with the times and the sound of the first, or a
folder of PNG files. An interrupted run starts from the beginning; of a film that is
damaged, what can be read is written, and the status is 1. See docs/video.md.

Needs the extra [video], unless both are folders.
"""

import dataclasses
import time

from absl import flags

from experiments.cli import command, style_flags
from experiments.cli.each import print_peak_memory
from experiments.cli.unused import note_unused
from vgg_unpool_jax.applications.stylization.files import FileStylizer
from vgg_unpool_jax.applications.stylization.film_metrics import FilmMeter
from vgg_unpool_jax.applications.stylization.options import DIFFERENCE, GUIDED
from vgg_unpool_jax.applications.stylization.shots import CUT
from vgg_unpool_jax.applications.stylization.video import VideoStylizer
from vgg_unpool_jax.applications.stylization.video_files import (
    RATE,
    is_folder,
    open_video,
    output_files,
    writing_video,
)
from vgg_unpool_jax.errors import PhotoError, SourceError
from vgg_unpool_jax.io.outputs import check_outputs

_STEADINESS = flags.DEFINE_float(
    "steadiness", 8.0, "Frames over which the guided filter's fits are averaged.", 0.0
)
_CUT = flags.DEFINE_float(
    "cut", CUT, "Least step in grey levels that is a cut; 0: the film is one shot.", 0
)
_MEASURE = flags.DEFINE_bool(
    "measure",
    False,
    "Print warp error, edges kept and distance of colours, too.",
)
_RATE = flags.DEFINE_float("rate", float(RATE), "Frames a second of a folder.", 0.001)
_QUALITY = flags.DEFINE_integer("quality", 18, "H.264's rate factor, 0 is best.", 0, 51)
_SOUND = flags.DEFINE_bool("sound", True, "Keep the sound of a video file.")


def main() -> None:
    """Run the command."""
    video = open_video(style_flags.CONTENT.value, rate=_RATE.value)
    output, start = style_flags.OUTPUT.value, time.perf_counter()
    writes, reads = output_files(output, video)
    check_outputs(writes, [*reads, *style_flags.files_read()])
    _note_unused_flags(video)
    # Opened first: an impossible output is reported before the pairs are loaded.
    with writing_video(
        output, video, quality=_QUALITY.value, sound=_SOUND.value
    ) as write:
        work, number, problem = _stylizer(), 0, None
        measures = FilmMeter(work.style_colors) if _MEASURE.value else None
        try:
            results = work.stylize(video.frames)
            for number, (frame, pixels) in enumerate(results, start=1):
                if measures is not None:
                    measures.add(frame.pixels, pixels)
                write(dataclasses.replace(frame, pixels=pixels))
                seconds = (time.perf_counter() - start) / number
                of = f"/{video.count}" if video.count else ""
                shown = f"[{number}{of}] {frame.name}"
                print(f"{shown} {seconds:.1f} s per frame", flush=True)
        except (PhotoError, SourceError) as error:
            # What was read is kept; the command fails at the end.
            if not number:
                raise
            problem = error
    cuts = ", ".join(map(str, work.cuts)) or "none"
    print(f"{output}: flicker {work.flicker:.3f} grey levels, cuts before frame {cuts}")
    if work.dissolves:
        frames = ", ".join(f"{first} to {last}" for first, last in work.dissolves)
        print(f"dissolves in frames {frames}")
    if measures is not None:
        print(measures)
    print_peak_memory()
    if problem is not None:
        raise problem


def _note_unused_flags(video) -> None:
    style_flags.note_unused_flags()
    note_unused("films have no masks", "style_mask")
    if _smoothing() != GUIDED:
        note_unused("only --smoothing=guided averages over frames", "steadiness")
    if video.is_file:
        note_unused("a video file has its own rate", "rate")
    else:
        note_unused("a folder of frames has no sound", "sound")
    if is_folder(style_flags.OUTPUT.value):
        reason = "the output is a folder of PNG files"
        note_unused(reason, "quality", *(["sound"] if video.is_file else ["rate"]))


def _smoothing() -> str:
    return style_flags.SMOOTHING.value or DIFFERENCE


def _stylizer() -> VideoStylizer:
    stylizer, styles = style_flags.stylizer(), style_flags.styles()
    max_side = style_flags.MAX_SIDE.value
    files = FileStylizer(stylizer, styles, max_side=max_side)
    return VideoStylizer(
        stylizer,
        [(files.measure(style), style.share) for style in styles],
        smoothing=_smoothing(),
        look=style_flags.look(),
        cut=_CUT.value,
        steadiness=_STEADINESS.value,
        alpha=style_flags.ALPHA.value,
        strengths=style_flags.strengths(),
        max_side=max_side,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["content", "style", "output"])
    command.run(main)
