"""Faces keep their own colours: where they are, and what of a change is taken back.

Faces are found by a linear map of VGG19's block5_conv2, a logistic regression that
`python -m results.faces` fits, brought to the photo's edges as regions are
(`automatic_regions.refine_regions`). Skin around a face, of its colours, belongs to it.
Faces from about 50 to 600 of 768 pixels are found, others are not.
"""

import functools
import pathlib

import numpy as np
import safetensors.numpy
import scipy.ndimage

from vgg_unpool_jax.applications.resizing import resize
from vgg_unpool_jax.applications.stylization.automatic_regions import refine_regions
from vgg_unpool_jax.applications.stylization.regions import Regions
from vgg_unpool_jax.ops.lab import rgb_to_lab

WEIGHTS = pathlib.Path(__file__).with_name("faces.safetensors")
# Features are scaled to this length: their own is contrast.
LENGTH = 16.0
# Probabilities from which on a cell counts, and fully counts.
_SURE = 0.5, 0.9
# Of the photo's longer side: how far skin reaches beside a face.
_REACH = 0.08
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Share of the protection that changes of light get.
_OF_LIGHT = 0.7
# Variance of skin's a and b that is noise.
_NOISE = 4.0


def scale_features(features) -> np.ndarray:
    """Features (..., c) scaled to one length, float32."""
    features = np.asarray(features, np.float32)
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return LENGTH * features / np.maximum(lengths, 1e-6)


def find_faces(features, photo, *, covers: tuple[float, float]) -> np.ndarray | None:
    """How much of each pixel is a face or the skin beside it.

    Args:
      features: (h, w, 512) of VGG19's block5_conv2, best of a photo of 768 pixels.
      photo: (h', w', 3) RGB in [0, 255].
      covers: height and width of the photo in cells.

    Returns:
      (h', w') float32 in [0, 1], or None where there is no face.
    """
    weights, bias = _weights()
    scores = scale_features(features) @ weights + bias
    low, high = _SURE
    share = np.clip((1 / (1 + np.exp(-scores)) - low) / (high - low), 0.0, 1.0)
    inside = share[: int(np.ceil(covers[0])), : int(np.ceil(covers[1]))]
    if not inside.max() > 0:
        return None
    cells = Regions(("face", "rest"), coverage=np.stack([share, 1 - share], axis=2))
    faces = refine_regions(cells, photo, covers=covers).coverage[..., 0]
    return np.maximum(faces, _skin_around(faces, photo))


def _skin_around(faces, photo) -> np.ndarray:
    """(h, w), near a face and of its colours."""
    sigma = _REACH * max(faces.shape)
    near = scipy.ndimage.gaussian_filter(faces, sigma, mode="nearest")
    near = np.minimum(4 * near, 1.0)
    chroma = np.asarray(rgb_to_lab(np.asarray(photo, np.float32)))[..., 1:]
    weights = faces[..., None] / max(float(faces.sum()), 1e-6)
    mean = (weights * chroma).sum(axis=(0, 1))
    offsets = (chroma - mean).reshape(-1, 2)
    covariance = (weights.reshape(-1, 1) * offsets).T @ offsets + _NOISE * np.eye(2)
    distances = (offsets @ np.linalg.inv(covariance) * offsets).sum(axis=1)
    return near * np.exp(-0.5 * distances).reshape(faces.shape).astype(np.float32)


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
