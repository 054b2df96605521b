"""Results of the looks on pairs of photos, as the command `stylize` makes them."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence

from vgg_unpool_jax.applications.stylization.files import (
    ContentFile,
    FileStylizer,
    StyleFile,
)
from vgg_unpool_jax.applications.stylization.kept_features import KeptFeatures
from vgg_unpool_jax.applications.stylization.looks import find_look
from vgg_unpool_jax.applications.stylization.one_pass import load_one_pass
from vgg_unpool_jax.applications.stylization.options import (
    AUTOMATIC_REGIONS,
    KEEP_FACES,
    MAX_SIDE,
)
from vgg_unpool_jax.applications.stylization.photo_pairs import StylePair
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.io.paths import to_path
from vgg_unpool_jax.systems.unpooling.pair import load_encoder


@dataclasses.dataclass(frozen=True)
class StylizedPairs:
    """What was made.

    Attributes:
      folders: of results, named like the pairs, by method: a look, or "LOOK, masks".
      seconds: a megapixel, from file to file, by pair and method; the first of a size
        compiles.
      broken: a sentence for each result that could not be made.
    """

    folders: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)


def stylize_pairs(
    pairs: Sequence[StylePair],
    looks: Sequence[str],
    folder: str | os.PathLike,
    *,
    model: str | os.PathLike = "vgg19-style",
    vgg19: str | os.PathLike | None = None,
    automatic: int = AUTOMATIC_REGIONS,
    progress: Callable[[str], None] = lambda _: None,
) -> StylizedPairs:
    """Give the content of each pair the looks, and write the results.

    Args:
      pairs: the files; those with masks are stylised with and without them.
      looks: names of looks; without any nothing is loaded.
      folder: for a folder of each method.
      model: see `load_one_pass`.
      vgg19: the VGG19 weight file; see `load_pair`.
      automatic: number of regions to find where masks are not used; 0 is none.
      progress: called with a line for each result.
    """
    found, settings = StylizedPairs(), {name: find_look(name) for name in looks}
    encoder = KeptFeatures(load_encoder(5, vgg19)) if settings else None
    work = [
        (pair, masks) for pair in pairs for masks in dict.fromkeys((None, pair.masks))
    ]
    for name, look in settings.items():
        stylizer = load_one_pass(model, vgg19, transform=look.transform)
        for pair, masks in work:
            method = f"{name}, masks" if masks else name
            found.folders[method] = to_path(folder) / method
            file = found.folders[method] / f"{pair.name}.png"
            content_mask, style_mask = masks or (None, None)
            start = time.perf_counter()
            try:
                made = FileStylizer(
                    stylizer,
                    [StyleFile(pair.style, style_mask)],
                    automatic=0 if masks else automatic,
                    encoder=encoder,
                    look=look,
                    max_side=MAX_SIDE,
                    faces=KEEP_FACES,
                ).stylize(ContentFile(pair.content, content_mask, file))
            except PhotoError as problem:
                found.broken.append(f"{pair.name}: {problem}")
                continue
            took = time.perf_counter() - start
            found.seconds[pair.name, method] = 1e6 * took / made[..., 0].size
            progress(f"{file} {took:.1f} s")
    return found
