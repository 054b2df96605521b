"""One photo in each of several styles, in one picture."""

import collections
from collections.abc import Sequence

from vgg_unpool_jax.applications.resizing import reduce_to_side
from vgg_unpool_jax.applications.stylization.files import (
    ContentFile,
    FileStylizer,
    StyleFile,
)
from vgg_unpool_jax.applications.stylization.kept_features import KeptFeatures
from vgg_unpool_jax.applications.stylization.transfer import FeatureTransfer
from vgg_unpool_jax.evaluation.pictures import save_photo, titled_sheet
from vgg_unpool_jax.systems.unpooling.pair import load_encoder

# Longer side of the photos in pixels.
_SIDE = 512


def write_style_sheet(
    stylizer: FeatureTransfer,
    file: ContentFile,
    styles: Sequence[StyleFile],
    *,
    automatic: int = 0,
    quality: int = 95,
    **options,
) -> None:
    """Write a photo of at most 512 pixels a side in each of the styles, with names.

    Args:
      stylizer: moves the features.
      file: the photo, its mask and the file of the sheet.
      styles: one or more.
      automatic: number of regions to look for, where there are no masks and the style
        is a photo.
      quality: of JPEG and WebP.
      **options: of `FileStylizer`.
    """
    options["max_side"] = min(options.get("max_side") or _SIDE, _SIDE)
    stems = collections.Counter(style.path.stem for style in styles)
    pictures, encoder = {}, None
    for style in styles:
        count = 0 if file.mask or style.is_saved else automatic
        if encoder is None and (count or options.get("faces")):
            encoder = KeptFeatures(load_encoder(5, options.get("vgg19")))
        work = FileStylizer(
            stylizer, [style], automatic=count, encoder=encoder, **options
        )
        photo, result = work.render(file)
        pictures.setdefault("the photo", reduce_to_side(photo, _SIDE))
        name = style.path.stem if stems[style.path.stem] == 1 else str(style.path)
        pictures[name] = reduce_to_side(result, _SIDE)
    save_photo(file.output, titled_sheet(pictures), quality=quality)
