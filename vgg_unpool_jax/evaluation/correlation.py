"""The correlation of reconstructions with their originals.

Images are NHWC. A correlation does not change when both images are scaled and shifted,
so it is the same for pixels in [0, 255] and in [-1, 1].
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgg_unpool_jax.losses.checks import require_matching


def photo_pcc(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Pearson correlation coefficient of each photo over its pixels and channels.

    Not the coefficient that is published for whole sets, which `CorrelationSums`
    measures: within one photo the differences between photos do not count.

    Args:
      predictions: images `(n, height, width, channels)`.
      targets: images of the same shape.

    Returns:
      `(n,)` float32 without unit, in [-1, 1]. A photo without any contrast, on either
      side, correlates with nothing: its value is 0, so that a mean over photos exists.

    Source:
      Pearson, "Notes on regression and inheritance in the case of two parents", 1895.
    """
    moments = photo_pair_moments(predictions, targets)
    variance_x, variance_y, covariance = moments[:, 2], moments[:, 3], moments[:, 4]
    norms = jnp.sqrt(variance_x) * jnp.sqrt(variance_y)
    flat = norms == 0.0
    found = jnp.where(flat, 0.0, covariance / jnp.where(flat, 1.0, norms))
    return jnp.clip(found, -1.0, 1.0)


def photo_pair_moments(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Five numbers a photo from which `CorrelationSums` makes the set's correlation.

    For compiled steps that keep small arrays of each photo and no images; in float32,
    so that the correlation has six digits.

    Args:
      predictions: images `(n, height, width, channels)`.
      targets: images of the same shape.

    Returns:
      `(n, 5)` float32 over the pixels and channels of a photo: mean of the prediction,
      mean of the target, their variances in this order, their covariance.
    """
    predictions, targets = require_matching(predictions, targets)
    (mean_x, x), (mean_y, y) = _centre(predictions), _centre(targets)
    pairs = (x * x, y * y, x * y)
    return jnp.stack([mean_x, mean_y, *(jnp.mean(p, (1, 2, 3)) for p in pairs)], axis=1)


def _centre(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean of each photo `(n,)`, and the photos without it."""
    # Without its first value a flat photo is exactly 0; the rounding of its mean would
    # otherwise leave a tiny constant behind, and that correlates perfectly.
    first = images[:, :1, :1, :1]
    images = images - first
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return (first + mean)[:, 0, 0, 0], images - mean


def _require_mask(mask: np.ndarray, photos: int) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != (photos,) or mask.dtype != np.bool_:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}; wanted ({photos},) "
            "and bool."
        )
    return mask


class CorrelationSums:
    """One Pearson correlation over all values of all photos, in float64 on the host.

    Every value of every channel of every photo is one pair, and the two means are
    taken over the whole set. Batches and processes are merged exactly as if their
    values had stood in one array. Kept are the means and the sums of squares around
    them, which lose no digits however bright or flat the photos are.

    Source:
      Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
      sample variances", 1979.
    """

    def __init__(self) -> None:
        self._values = 0
        self._means = np.zeros(2)
        # Sums of squared deviations of predictions and targets, sum of products.
        self._deviations = np.zeros(3)

    @property
    def values(self) -> int:
        """How many pairs of values were counted: photos · height · width · channels."""
        return self._values

    def update(
        self,
        predictions: np.ndarray,
        targets: np.ndarray,
        mask: np.ndarray | None = None,
    ) -> None:
        """Count a batch.

        Args:
          predictions: images `(n, height, width, channels)`, any real dtype. Clip them
            first if the pictures that are shown are clipped.
          targets: images of the same shape.
          mask: `(n,)` bool, False for padding, whose values are never looked at; None
            counts all.
        """
        predictions, targets = np.asarray(predictions), np.asarray(targets)
        for name, images in (("predictions", predictions), ("targets", targets)):
            if images.ndim != 4 or images.shape != predictions.shape:
                wanted = (
                    f"{predictions.shape} like the predictions"
                    if predictions.ndim == 4
                    else "(n, height, width, channels)"
                )
                raise ValueError(f"{name} has shape {images.shape}; wanted {wanted}.")
        if mask is not None:
            mask = _require_mask(mask, len(predictions))
            predictions, targets = predictions[mask], targets[mask]
        if not predictions.size:
            return
        means, centred = [], []
        # An infinite value makes the result nan, which says enough.
        with np.errstate(invalid="ignore"):
            for images in (predictions, targets):
                flat = images.ravel().astype(np.float64)
                first = flat[0]
                # Equal values become exactly 0 here, whatever the rounding of a mean.
                flat -= first
                mean = flat.mean()
                means.append(first + mean)
                centred.append(flat - mean)
            x, y = centred
            self._add(x.size, np.array(means), np.array([x @ x, y @ y, x @ y]))

    def update_moments(
        self,
        moments: np.ndarray,
        values_per_photo: int,
        mask: np.ndarray | None = None,
    ) -> None:
        """Count photos by their moments instead of by their pixels.

        Args:
          moments: `(n, 5)` from `photo_pair_moments`.
          values_per_photo: height · width · channels of one photo.
          mask: `(n,)` bool, False for padding; None counts all.
        """
        moments = np.asarray(moments, np.float64)
        if moments.ndim != 2 or moments.shape[1] != 5:
            raise ValueError(f"moments has shape {moments.shape}; wanted (n, 5).")
        if values_per_photo < 1:
            raise ValueError(
                f"values_per_photo is {values_per_photo}; wanted at least 1."
            )
        if mask is not None:
            moments = moments[_require_mask(mask, len(moments))]
        for photo in moments:
            self._add(values_per_photo, photo[:2], photo[2:] * values_per_photo)

    def _add(self, values: int, means: np.ndarray, deviations: np.ndarray) -> None:
        if not values:
            return
        total = self._values + values
        apart = means - self._means
        products = np.array([apart[0] ** 2, apart[1] ** 2, apart[0] * apart[1]])
        between = products * (self._values / total * values)
        self._deviations = self._deviations + deviations + between
        self._means = self._means + apart * (values / total)
        self._values = total

    def merge(self, other: "CorrelationSums") -> "CorrelationSums":
        """The sums over the photos of both, as if counted by one."""
        both = CorrelationSums()
        for part in (self, other):
            both._add(part._values, part._means, part._deviations)
        return both

    def value(self) -> float:
        """The correlation coefficient.

        Returns:
          A number in [-1, 1]. nan where it is undefined, because all predictions or all
          targets are one and the same value, and where a value was nan or infinite.
        """
        if not self._values:
            raise ValueError("No photo was counted, so there is no correlation.")
        squares_x, squares_y, products = (float(part) for part in self._deviations)
        if not all(map(math.isfinite, self._deviations)) or 0.0 in (
            squares_x,
            squares_y,
        ):
            return math.nan
        found = products / (math.sqrt(squares_x) * math.sqrt(squares_y))
        return min(1.0, max(-1.0, found))

    def to_dict(self) -> dict[str, list[float]]:
        """What one process hands to another, ready for JSON."""
        return {
            "values": [self._values],
            "means": self._means.tolist(),
            "deviations": self._deviations.tolist(),
        }

    @classmethod
    def from_dict(cls, sums: dict[str, Sequence[float]]) -> "CorrelationSums":
        """The inverse of `to_dict`.

        Args:
          sums: `values` with one whole number, `means` with two numbers, `deviations`
            with three.

        Returns:
          The sums; adding to them continues where `to_dict` was called.
        """
        for name, length in (("values", 1), ("means", 2), ("deviations", 3)):
            entry = sums.get(name)
            if entry is None or len(entry) != length:
                raise ValueError(
                    f"sums[{name!r}] is {entry!r}; wanted {length} number(s), as "
                    "`to_dict` gives them."
                )
        (values,) = sums["values"]
        if values != int(values) or values < 0:
            raise ValueError(f"sums['values'] is {values!r}; wanted a whole number.")
        restored = cls()
        restored._values = int(values)
        restored._means = np.array(sums["means"], np.float64)
        restored._deviations = np.array(sums["deviations"], np.float64)
        return restored
