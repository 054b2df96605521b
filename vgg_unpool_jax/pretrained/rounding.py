"""VGG19 weights moved by as much as storing them in few bits moves them.

A decoder learns from the features of one weight file. How it does on those of nearly
the same weights, rounded or exact, can be measured without the other file.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights, arrays_sha256


def perturb_by_rounding(
    weights: VGG19Weights,
    *,
    blocks: Sequence[int] = (4, 5),
    bits: int = 8,
    seed: int = 0,
) -> VGG19Weights:
    """Move the kernels of some blocks by uniform noise of a rounding's size.

    Rounding to 2^bits equal steps between a kernel's smallest and largest value moves
    each value by at most half a step. That is the noise drawn here: to weights that
    were rounded so, the result is about as far as the exact ones are.

    Args:
      weights: of VGG19.
      blocks: those whose kernels move; biases stay.
      bits: at least 1.
      seed: of the noise.

    Returns:
      The moved weights, with an origin that says so.
    """
    if bits < 1:
        raise ValueError(f"bits must be at least 1, got {bits}")
    generator = np.random.default_rng(seed)
    prefixes = tuple(f"block{block}_" for block in blocks)
    params = {}
    for name, layer in weights.params.items():
        kernel = np.asarray(layer["kernel"])
        if name.startswith(prefixes):
            half = (kernel.max() - kernel.min()) / (2**bits - 1) / 2
            noise = generator.uniform(-half, half, kernel.shape)
            kernel = kernel + noise.astype(np.float32)
        params[name] = {**layer, "kernel": kernel}
    return dataclasses.replace(
        weights,
        params=params,
        origin=f"{weights.origin} perturbed as by {bits} bits, seed {seed}",
        sha256=arrays_sha256(params),
    )
