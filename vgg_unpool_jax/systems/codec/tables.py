"""Integer tables of probabilities, which are part of a codec's file.

They are made once, when a model is exported, and never computed from floats again: a
difference in the last bit of a logarithm would make a file unreadable.

A table lists the frequencies of an escape and of consecutive integers; their sum is
2^24. `conditional` tables are of integers minus the whole part of their mean, one for
each scale and for each of a number of fractions of the mean, which is smaller for
larger scales. `hyper` tables are of the integers of a hyper channel at a quality.
"""

import functools

import constriction
import numpy as np

from vgg_unpool_jax.systems.codec.entropy import NUM_SCALES, SCALES

_TOTAL = 2**24
# Probability beyond the ends of a conditional table is below exp(-12).
_REACH = 12.0
# Integers of a hyper channel in its table.
HYPER_REACH = 63


def num_fractions(scale: int) -> int:
    """Number of fractions of means that are told apart at an index of `SCALES`."""
    value = SCALES[scale]
    return 16 if value < 0.5 else 8 if value < 2 else 4 if value < 8 else 1


def reach(scale: int) -> int:
    """A conditional table begins at minus this, and ends one after it."""
    return int(np.ceil(_REACH * SCALES[scale])) + 1


def conditional_tables() -> np.ndarray:
    """All conditional tables behind one another, int32."""
    tables = []
    for scale in range(NUM_SCALES):
        integers = np.arange(-reach(scale), reach(scale) + 2)
        for fraction in np.arange(num_fractions(scale)) / num_fractions(scale):
            edges = np.append(integers - 0.5, integers[-1] + 0.5) - fraction
            tables.append(_frequencies(np.diff(_logistic(edges / SCALES[scale]))))
    return np.concatenate(tables)


def hyper_tables(
    logits: np.ndarray, means: np.ndarray, log_scales: np.ndarray
) -> np.ndarray:
    """Tables of the hyper latent, int32 (qualities, channels, 2 HYPER_REACH + 2).

    Args:
      logits: (qualities, channels, k), as in `entropy.mixture_bits`.
      means: the same shape.
      log_scales: the same shape.
    """
    edges = np.arange(-HYPER_REACH, HYPER_REACH + 2) - 0.5
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    scaled = (edges - means[..., None]) * np.exp(-log_scales)[..., None]
    cumulative = np.sum(weights[..., None] * _logistic(scaled), axis=-2)
    masses = np.diff(cumulative, axis=-1)
    return np.apply_along_axis(_frequencies, -1, masses)


class Tables:
    """The tables of a codec, by number.

    Conditional tables come first, in the order of `first_table`, then those of the
    hyper latent.
    """

    def __init__(self, conditional: np.ndarray, hyper: np.ndarray):
        """Cut the stored arrays into tables.

        Args:
          conditional: as from `conditional_tables`, of any dtype.
          hyper: as from `hyper_tables`.
        """
        sizes = [
            2 * reach(scale) + 3
            for scale in range(NUM_SCALES)
            for _ in range(num_fractions(scale))
        ]
        if conditional.shape != (sum(sizes),):
            raise ValueError(
                f"expected {sum(sizes)} frequencies, got {conditional.shape}"
            )
        ends = np.cumsum(sizes)
        tables = np.split(conditional, ends[:-1])
        tables += list(hyper.reshape(-1, hyper.shape[-1]))
        self._tables = tables
        self.model = functools.cache(self._model)
        counts = [num_fractions(scale) for scale in range(NUM_SCALES)]
        self._fractions = np.asarray(counts)
        self._first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._hyper_first, self._hyper_shape = sum(counts), hyper.shape
        reaches = [reach(s) for s in range(NUM_SCALES) for _ in range(counts[s])]
        hyper_reaches = [HYPER_REACH] * (len(tables) - len(reaches))
        self.reach = np.asarray(reaches + hyper_reaches)

    def _model(self, number: int) -> constriction.stream.model.Categorical:
        """The entropy model of a table."""
        # Exact: frequencies have up to 24 bits.
        probabilities = np.asarray(self._tables[number], np.float64) / _TOTAL
        return constriction.stream.model.Categorical(probabilities, perfect=False)

    def conditional(
        self, means: np.ndarray, scales: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of tables, and the integers that their middles stand for.

        Args:
          means: int64, in units of 1/256.
          scales: int64, indices of `SCALES`.
        """
        fractions = self._fractions[scales]
        unit = 256 // fractions
        rounded = (means + unit // 2) // unit
        return self._first[scales] + rounded % fractions, rounded // fractions

    def hyper(self, quality: int, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers of the tables of a hyper latent (h, w, channels)."""
        channels = self._hyper_shape[1]
        numbers = self._hyper_first + quality * channels + np.arange(channels)
        return np.broadcast_to(numbers, shape)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _frequencies(masses: np.ndarray) -> np.ndarray:
    """Frequencies of an escape and of integers with these probabilities."""
    escape = max(1.0 - masses.sum(), 0.0)
    masses = np.concatenate([[escape], masses])
    counts = np.maximum(np.round(masses * _TOTAL), 1).astype(np.int64)
    counts[np.argmax(counts)] += _TOTAL - counts.sum()
    return counts.astype(np.int32)
