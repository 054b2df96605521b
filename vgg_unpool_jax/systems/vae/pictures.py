"""Pictures of a trained VAE; all functions take its decoder as a function of codes.

A decoder maps codes (n, latent_size) to images (n, h, w, 3) in [0, 255]. Codes are the
same every time, so that pictures of two training steps can be compared.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from vgg_unpool_jax.evaluation.pictures import enlarge, picture_grid, square_grid, strip
from vgg_unpool_jax.systems.vae.latent_pictures import (
    kl_plot,
    latent_map,
)
from vgg_unpool_jax.systems.vae.latents import LatentStatistics, embed_tsne

_STEPS = 8
_TSNE_PHOTOS = 2000
_TRAVERSED_DIMENSIONS = 8
_LABELLED_SIDE = 64  # pixels
_TRAVERSED_VALUES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


def in_batches(decode: Callable, size: int = 32) -> Callable:
    """A decoder that is called with one shape alone, so that it is compiled once.

    Args:
      decode: codes (n, latent_size) to images (n, h, w, 3).
      size: number of codes of each call; the last ones are padded.

    Returns:
      The same function for any number of codes, from and to NumPy arrays.
    """

    def decode_all(codes: np.ndarray) -> np.ndarray:
        count = len(codes)
        padded = np.zeros((-(-count // size) * size, *codes.shape[1:]), np.float32)
        padded[:count] = codes
        batches = np.split(padded, len(padded) // size)
        return np.concatenate([np.asarray(decode(batch)) for batch in batches])[:count]

    return decode_all


def walk(codes: np.ndarray, steps: int = _STEPS) -> np.ndarray:
    """Codes on the straight lines from each code to the next.

    Args:
      codes: (n, latent_size), at least two.
      steps: codes on each line, both ends included; at least two.

    Returns:
      ((n - 1) · (steps - 1) + 1, latent_size) float32.
    """
    codes = np.asarray(codes, np.float32)
    if codes.ndim != 2 or len(codes) < 2 or steps < 2:
        raise ValueError(
            "a walk needs codes of shape (n, latent_size) and steps, at least two of "
            f"each, got {codes.shape} and {steps}"
        )
    weights = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:-1, None]
    lines = [
        (1.0 - weights) * start + weights * end
        for start, end in itertools.pairwise(codes)
    ]
    return np.concatenate([*lines, codes[-1:]])


def draw_samples(decode: Callable, latent_size: int, count: int) -> np.ndarray:
    """Images of codes from the prior, in a square."""
    codes = np.random.default_rng(0).standard_normal((count, latent_size))
    return square_grid(np.asarray(decode(codes.astype(np.float32))))


def draw_interpolations(decode: Callable, means: np.ndarray, rows: int) -> np.ndarray:
    """Walks between the codes of two photos each, one below the other.

    Args:
      decode: codes to images.
      means: codes of photos (n, latent_size), n at least 2.
      rows: maximum number of walks.

    Returns:
      uint8 (h, w, 3).
    """
    pairs = min(rows, len(means) // 2)
    frames = [
        strip(np.asarray(decode(walk(means[2 * pair : 2 * pair + 2]))))
        for pair in range(pairs)
    ]
    gap = np.full((2, *frames[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for frame in frames for part in (frame, gap)][:-1])


def draw_traversal(
    decode: Callable, code: np.ndarray, statistics: LatentStatistics
) -> np.ndarray:
    """Vary the dimensions with the largest KL, one at a time.

    Args:
      decode: codes to images.
      code: values of the other dimensions, (latent_size,).
      statistics: with the KL of each dimension.

    Returns:
      uint8 (h, w, 3), one row per dimension, values from -3 to 3.
    """
    dimensions = statistics.by_kl()[:_TRAVERSED_DIMENSIONS]
    codes = np.tile(
        np.asarray(code, np.float32), (len(dimensions), len(_TRAVERSED_VALUES), 1)
    )
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = _TRAVERSED_VALUES
    images = np.asarray(decode(codes.reshape(-1, codes.shape[-1])))
    images = images.reshape(*codes.shape[:2], *images.shape[1:])
    # Small images are enlarged to the size of their labels.
    images = enlarge(images, -(-_LABELLED_SIDE // images.shape[2]))
    return picture_grid(
        {f"{value:g}": images[:, i] for i, value in enumerate(_TRAVERSED_VALUES)},
        row_labels=[f"z{d}: {statistics.kl[d]:.2f} nats" for d in dimensions],
    )


def draw_latents(
    decode: Callable,
    means: np.ndarray,
    statistics: LatentStatistics,
    labels: Sequence[str | None],
    *,
    samples: int,
    interpolations: int,
) -> dict[str, np.ndarray]:
    """All pictures that are quick to draw, by name.

    Args:
      decode: codes to images.
      means: of the posteriors of all photos, (n, latent_size).
      statistics: of the same photos.
      labels: class of each photo, None for a photo without.
      samples: number of samples of the prior.
      interpolations: number of walks between photos.

    Returns:
      uint8 (h, w, 3) as "samples", "interpolation", "traversal", "kl_per_dimension" and
      "latent_map"; pictures that need two photos or two dimensions only if there are
      two.
    """
    latent_size, decode = means.shape[1], in_batches(decode)
    pictures = {
        "samples": draw_samples(decode, latent_size, samples),
        "traversal": draw_traversal(decode, means[0], statistics),
        "kl_per_dimension": kl_plot(statistics.kl),
    }
    if len(means) > 1:
        pictures["interpolation"] = draw_interpolations(decode, means, interpolations)
    if latent_size > 1:
        pictures["latent_map"] = latent_map(
            means[:, :2],
            labels,
            title="posterior means",
            axis_names=("dimension 0", "dimension 1"),
        )
    return pictures


def draw_tsne(means: np.ndarray, labels: Sequence[str | None]) -> np.ndarray | None:
    """Posterior means laid out by t-SNE; None for fewer than four photos.

    Subsamples evenly to at most two thousand photos, because the time grows with their
    number and dots would cover each other.
    """
    if len(means) < 4:
        return None
    count = min(len(means), _TSNE_PHOTOS)
    chosen = np.linspace(0, len(means) - 1, count).round().astype(int)
    return latent_map(
        embed_tsne(means[chosen], seed=0),
        [labels[place] for place in chosen],
        title=f"posterior means of {count} photos by t-SNE",
        axis_names=("", ""),
    )
