"""Faces keep their own colours: where they are, and what of a change is taken back.

Faces are found by a linear map of VGG19's block5_conv2, a logistic regression that
`python -m results.faces` fits, brought to the photo's edges as regions are
(`automatic_regions.refine_regions`), where a neck of its colours comes with a face.
It was fitted on faces 40 to 380 pixels wide.
"""

import functools
import pathlib

import numpy as np
import safetensors.numpy

from vgg_unpool_jax.applications.resizing import resize
from vgg_unpool_jax.applications.stylization.automatic_regions import (
    refine_regions,
    unit_features,
)
from vgg_unpool_jax.applications.stylization.regions import Regions

WEIGHTS = pathlib.Path(__file__).with_name("faces.safetensors")
# Probabilities from which on a cell counts, and fully counts.
_SURE = 0.5, 0.9
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Share of the protection that changes of light get.
_OF_LIGHT = 0.7


def find_faces(features, photo, *, covers: tuple[float, float]) -> np.ndarray | None:
    """How much of each pixel is a face, or a neck of its colours.

    Args:
      features: (h, w, 512) of VGG19's block5_conv2, best of a photo of 768 pixels.
      photo: (h', w', 3) RGB in [0, 255].
      covers: height and width of the photo in cells.

    Returns:
      (h', w') float32 in [0, 1], or None where there is no face.
    """
    weights, bias = _weights()
    scores = unit_features(np.asarray(features, np.float32)) @ weights + bias
    low, high = _SURE
    share = np.clip((1 / (1 + np.exp(-scores)) - low) / (high - low), 0.0, 1.0)
    inside = share[: int(np.ceil(covers[0])), : int(np.ceil(covers[1]))]
    if not inside.max() > 0:
        return None
    cells = Regions(("face", "rest"), coverage=np.stack([share, 1 - share], axis=2))
    return refine_regions(cells, photo, covers=covers).coverage[..., 0]


def keep_faces(photo, result, faces, *, share: float) -> np.ndarray:
    """Take back a part of what was added to faces: of colour `share`, of light less.

    Args:
      photo: (h, w, 3) RGB in [0, 255].
      result: (h, w, 3) on the scale of [0, 255].
      faces: (h', w') in [0, 1], of any size with the photo's shape.
      share: from 0, nothing, to 1.

    Returns:
      (h, w, 3) float32 on the scale of [0, 255], not clipped.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    photo, result = (np.asarray(image, np.float32) for image in (photo, result))
    weight = share * resize(np.asarray(faces)[..., None], photo.shape[:2])
    change = result - photo
    light = (change @ _LUMA)[..., None]
    return result - weight * (change - light + _OF_LIGHT * light)


@functools.cache
def _weights() -> tuple[np.ndarray, np.ndarray]:
    tensors = safetensors.numpy.load_file(WEIGHTS)
    return tensors["weights"], tensors["bias"]
