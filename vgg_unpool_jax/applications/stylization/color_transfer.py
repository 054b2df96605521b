"""Colour transfer without a network: Reinhard et al., and affine transport of RGB."""

import logging

import numpy as np

from vgg_unpool_jax.applications.stylization.color_transport import normal_transport
from vgg_unpool_jax.errors import require_image
from vgg_unpool_jax.ops.photo_range import check_photo_range

_LOG = logging.getLogger(__name__)

# RGB to the responses of the long, medium and short cones.
_LMS_FROM_RGB = np.array(
    [
        [0.3811, 0.5783, 0.0402],
        [0.1967, 0.7244, 0.0782],
        [0.0241, 0.1288, 0.8444],
    ]
)
# Their logarithms to l-alpha-beta: achromatic, yellow-blue, red-green. Orthonormal.
_LAB_FROM_LOG_LMS = np.diag(1 / np.sqrt([3.0, 6.0, 2.0])) @ np.array(
    [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]]
)
# Before the logarithm. Less than one grey level of 255 is noise.
_DARKEST = 1 / 255
# Decades. A channel that varies by less is flat: the rest is rounding.
_FLAT = 1e-6


def lab_from_rgb(image: np.ndarray) -> np.ndarray:
    """Ruderman's l-alpha-beta of RGB as stored.

    LMS = M · RGB/255 of the encoded values (no gamma is undone, as in the paper's
    experiments on stored pictures), at least 1/255; l-alpha-beta is an orthonormal
    rotation of log10 LMS.

    Args:
      image: (..., 3) RGB in [0, 255].

    Returns:
      float64 (..., 3) in decades: l, alpha, beta.

    Source:
      Ruderman, Cronin and Chiao, "Statistics of cone responses to natural images",
      1998; matrices as in Reinhard, Ashikhmin, Gooch and Shirley, "Color transfer
      between images", 2001.
    """
    lms = np.asarray(image, np.float64) / 255 @ _LMS_FROM_RGB.T
    return np.log10(np.maximum(lms, _DARKEST)) @ _LAB_FROM_LOG_LMS.T


def rgb_from_lab(lab: np.ndarray) -> np.ndarray:
    """Back to RGB by the exact inverses, not by the paper's matrix of four decimals.

    Args:
      lab: (..., 3) in decades, as from `lab_from_rgb`.

    Returns:
      float64 (..., 3) RGB on the scale of [0, 255], not clipped.
    """
    # Exponents that no photo has would only overflow on their way to white.
    lms = 10 ** np.minimum(np.asarray(lab, np.float64) @ _LAB_FROM_LOG_LMS, 100.0)
    return 255 * (lms @ np.linalg.inv(_LMS_FROM_RGB).T)


def transfer_color(
    content: np.ndarray,
    style: np.ndarray,
    content_labels: np.ndarray | None = None,
    style_labels: np.ndarray | None = None,
) -> np.ndarray:
    """Give the content the style's mean and standard deviation in l, alpha and beta.

    x → (x - mean_content) · std_style / std_content + mean_style, channel by channel. A
    flat channel of the content becomes the mean of the style.

    Args:
      content: (h, w, 3) RGB in [0, 255].
      style: (h', w', 3) RGB in [0, 255], of any size.
      content_labels: (h, w) integers, region by region; with `style_labels` or not at
        all. A label that the style lacks takes the statistics of the whole style for
        those of its region, and a warning is logged.
      style_labels: (h', w') integers; equal ones belong together.

    Returns:
      float32 (h, w, 3) RGB clipped to [0, 255].

    Source:
      Reinhard, Ashikhmin, Gooch and Shirley, "Color transfer between images", 2001.
    """
    for name, photo in (("content", content), ("style", style)):
        check_photo_range(name, photo)
        require_image(name, photo, 3)
    lab = lab_from_rgb(content), lab_from_rgb(style)
    result = rgb_from_lab(_by_label(_match, *lab, content_labels, style_labels))
    return np.clip(result, 0, 255).astype(np.float32)


def transfer_rgb(
    content: np.ndarray,
    style: np.ndarray,
    content_labels: np.ndarray | None = None,
    style_labels: np.ndarray | None = None,
) -> np.ndarray:
    """Give the content the style's mean and covariance of RGB: a control, no network.

    The affine map is that of optimal transport between normal distributions. Arguments
    and result are those of `transfer_color`.
    """
    colors = (np.asarray(image, np.float64) for image in (content, style))
    result = _by_label(_transport, *colors, content_labels, style_labels)
    return np.clip(result, 0, 255).astype(np.float32)


def _by_label(match, ours, theirs, our_labels, their_labels) -> np.ndarray:
    """`match` the colours of each region to those of the region of equal label."""
    if (our_labels is None) != (their_labels is None):
        raise ValueError("content_labels and style_labels must be given both or none")
    if our_labels is None:
        return match(ours.reshape(-1, 3), theirs.reshape(-1, 3)).reshape(ours.shape)
    result, missing = np.empty_like(ours), []
    for label in np.unique(our_labels):
        inside, source = our_labels == label, theirs[their_labels == label]
        if not len(source):
            missing.append(int(label))
            source = theirs.reshape(-1, 3)
        result[inside] = match(ours[inside], source)
    if missing:
        _LOG.warning(
            "the style has no region %s: the whole style stands in for it",
            ", ".join(map(str, missing)),
        )
    return result


def _match(values, source):
    """(n, 3) with the mean and standard deviation of (m, 3)."""
    spread = values.std(axis=0)
    gain = np.where(spread > _FLAT, source.std(axis=0) / np.maximum(spread, _FLAT), 0.0)
    return (values - values.mean(axis=0)) * gain + source.mean(axis=0)


def _transport(ours, theirs):
    means = ours.mean(axis=0), theirs.mean(axis=0)
    # Half a grey level of noise, for flat regions.
    covariances = [
        (x - mean).T @ (x - mean) / len(x) + 0.25 * np.eye(3)
        for x, mean in zip((ours, theirs), means, strict=True)
    ]
    return (ours - means[0]) @ normal_transport(*covariances) + means[1]
