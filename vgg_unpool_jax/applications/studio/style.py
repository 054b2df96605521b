"""Style transfer between two photos of a session.

All goes through `FileStylizer`, as in the command `stylize`: the same files and
settings give the same result.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vgg_unpool_jax.applications.studio.jobs import Job
from vgg_unpool_jax.applications.studio.models import Known, Models
from vgg_unpool_jax.applications.stylization.cascade import Stylizer
from vgg_unpool_jax.applications.stylization.files import (
    ContentFile,
    FileStylizer,
    StyleFile,
)
from vgg_unpool_jax.applications.stylization.kept_features import KeptFeatures
from vgg_unpool_jax.applications.stylization.looks import DEFAULT_LOOK, LOOKS
from vgg_unpool_jax.applications.stylization.one_pass import OnePassStylizer
from vgg_unpool_jax.applications.stylization.options import (
    AUTOMATIC_REGIONS,
    DIFFERENCE,
    KEEP_FACES,
    LEVELS,
    LUT,
    SMOOTHINGS,
)
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer

BLOCKS = LEVELS
# Colours of painted regions; equal ones of two photos belong together.
PALETTE = ("#e6194b", "#3cb44b", "#4363d8", "#ffe119")
# The titles of `SMOOTHINGS`.
SMOOTHING_TITLES = {
    DIFFERENCE: "of the difference",
    LUT: "colours alone",
    "guided": "guided filter",
    "matting": "matting",
    "none": "none",
}
assert tuple(SMOOTHING_TITLES) == SMOOTHINGS
_REST = (0, 0, 0)
_PAINTED = 128  # smallest alpha of a stroke


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the page can set.

    Attributes:
      alpha: strength, from 0.
      levels: the blocks that take part.
      smoothing: one of `SMOOTHINGS`.
      look: one of `LOOKS`.
      regions: number of regions that are found automatically; 0 for none.
    """

    alpha: float = 1.0
    levels: tuple[int, ...] = BLOCKS
    smoothing: str = DIFFERENCE
    look: str = DEFAULT_LOOK
    regions: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Stylized:
    """A result.

    Attributes:
      image: float32 (h, w, 3) in [0, 255].
      notes: sentences about regions.
      regions: of the photo and of the style, where they were looked for.
    """

    image: np.ndarray
    notes: tuple[str, ...]
    regions: tuple[Regions, Regions] | None


class StyleWork:
    """The stylizer of the page and its models."""

    def __init__(self, models: Models):
        """Load nothing yet."""
        self._models, self._stylizers = models, {}
        self._encoder: KeptFeatures | None = None

    def flags(self, settings: Settings) -> dict[str, object]:
        """Of the command `stylize`, without those that have their default."""
        model, pairs = self._model(), self._pairs()
        flags, blocks = {}, BLOCKS
        if model is None:
            flags["pairs"] = [known.name for known in pairs.values()]
            blocks = pairs
        elif model.name != "vgg19-style":
            flags["model"] = model.name
        chosen, usual = dataclasses.asdict(settings), dataclasses.asdict(Settings())
        all_levels = set(settings.levels) == set(blocks)
        flags["levels"] = None if all_levels else settings.levels
        # The command looks for regions unless it is told not to.
        regions = settings.regions
        flags["auto_regions"] = None if regions == AUTOMATIC_REGIONS else regions
        return flags | {
            name: None if chosen[name] == usual[name] else chosen[name]
            for name in ("alpha", "smoothing", "look")
        }

    def _model(self) -> Known | None:
        """The staged decoder; None where pairs are named, or where there is none."""
        named = {known.system for known in self._models.named}
        found = self._models.of("staged")
        return None if "unpooling" in named - {"staged"} or not found else found[0]

    @property
    def blocks(self) -> tuple[int, ...]:
        """The levels that there are, coarse to fine."""
        return BLOCKS if self._model() is not None else tuple(self._pairs())

    def _pairs(self) -> dict[int, Known]:
        """Those that take part, coarse to fine."""
        found = self._models.pairs()
        return {block: found[block] for block in BLOCKS if block in found}

    def stylizer(self, look: str = DEFAULT_LOOK) -> FeatureTransfer:
        """What moves features; levels that are left out get the strength 0."""
        transform = LOOKS[look].transform
        if transform not in self._stylizers:
            model, options = self._model(), {"transform": transform}
            if model is not None:
                found = OnePassStylizer(self._models.load(model), **options)
            else:
                pairs = [self._models.load(known) for known in self._pairs().values()]
                found = Stylizer(pairs, **options)
            self._stylizers[transform] = found
        return self._stylizers[transform]

    def measure(
        self, style: StyleFile, look: pathlib.Path, side: int, job: Job
    ) -> StyleFile:
        """Write the statistics of a style, which is then read from them."""
        job.say(0.0, "loading the model")
        stylizer = self.stylizer()
        job.expect(len(stylizer.blocks))
        options = {"max_side": side, "progress": job.follow}
        work = FileStylizer(stylizer, [style], **options)
        work.measure(style).write(look)
        return StyleFile(look)

    def stylize(
        self,
        photo: ContentFile,
        style: StyleFile,
        settings: Settings,
        side: int,
        job: Job,
        lut: pathlib.Path | None = None,
    ) -> Stylized:
        """Stylise a file.

        Args:
          photo: with its mask, if any, and the file to write.
          style: a photo, or statistics of `measure`.
          settings: of the page.
          side: longest side at which the cascade works; 0 for that of the photo.
          job: the work.
          lut: write the look to this .cube file, too.
        """
        job.say(0.0, "loading the model")
        stylizer = self.stylizer(settings.look)
        blocks, automatic = stylizer.blocks, settings.regions
        if photo.mask is not None or style.is_saved:
            automatic = 0
        measured = 0 if style.is_saved else len(blocks)
        # And one for the smoothing.
        job.expect(measured + 2 * len(settings.levels) + 1)
        encoder = self._regions_encoder()
        work = FileStylizer(
            stylizer,
            [style],
            automatic=automatic,
            encoder=encoder,
            faces=0.0 if encoder is None else KEEP_FACES,
            smoothing=settings.smoothing,
            look=LOOKS[settings.look],
            alpha=settings.alpha,
            strengths={block: 0.0 for block in blocks if block not in settings.levels},
            max_side=side,
            progress=job.follow,
        )
        return Stylized(work.stylize(photo, lut=lut), work.notes, work.regions)

    def _regions_encoder(self):
        pair = self._models.pairs().get(5)
        if self._encoder is None and pair is not None:
            self._encoder = KeptFeatures(self._models.load(pair))
        return self._encoder


def painted_labels(layers: Sequence[np.ndarray]) -> np.ndarray | None:
    """Regions of strokes.

    Args:
      layers: uint8 (h, w, 4) RGBA, later ones on top.

    Returns:
      uint8 (h, w, 3), the colour of `PALETTE` next to that of the stroke, black where
      nothing is painted; None where there is no stroke.
    """
    palette = np.array([_rgb(colour) for colour in PALETTE], np.int32)
    picture = None
    for layer in layers:
        painted = layer[..., 3] >= _PAINTED
        if not painted.any():
            continue
        if picture is None:
            picture = np.zeros((*layer.shape[:2], 3), np.uint8)
            picture[:] = _REST
        strokes = layer[painted][:, :3].astype(np.int32)
        distances = np.square(strokes[:, None] - palette).sum(axis=-1)
        picture[painted] = palette[distances.argmin(axis=1)]
    return picture


def region_picture(regions: Regions, photo: np.ndarray) -> np.ndarray:
    """Regions as colours over their photo, uint8 (h, w, 3)."""
    regions = regions.on_grid(*photo.shape[:2])
    colours = [_rgb(PALETTE[n % len(PALETTE)]) for n in range(len(regions.names))]
    coverage = regions.coverage
    if coverage is None:
        coverage = np.eye(len(regions.names), dtype=np.float32)[regions.labels]
    painted = coverage @ np.array(colours, np.float32)
    return np.rint(0.5 * painted + 0.5 * np.asarray(photo)).astype(np.uint8)


def thumbnail(photo: np.ndarray, side: int = 192) -> Image.Image:
    """A small picture of a style, for the list of looks."""
    image = Image.fromarray(photo)
    image.thumbnail((side, side))
    return image


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
