"""Trained compressive autoencoders: photos to bytes of fixed length, and back.

Photos are (h, w, 3) RGB in [0, 255] of any size from 1×1. A file has the head and the
check sum of `codec/bitstream`, whose quality is the number of bits, and one stream:
float32 low and high of each channel, then the integers, channel by channel and row by
row, lowest bit first. Nothing is entropy coded, as published; a photo of 224×224 with
24 channels of 6 bits has 14,319 bytes, and 14,539 as published with float64 ranges
and a longer head.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import ConfigError, PhotoError, require_image
from vgg_unpool_jax.evaluation.evaluator import Evaluation
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.codec import bitstream
from vgg_unpool_jax.systems.codec.bitstream import BitstreamError, Head
from vgg_unpool_jax.systems.compressive.model import STRIDE, make_model
from vgg_unpool_jax.systems.compressive.objective import from_config
from vgg_unpool_jax.systems.compressive.quantizer import (
    MAX_BITS,
    Quantized,
    dequantize,
    quantize,
)
from vgg_unpool_jax.systems.compressive.report import CompressiveReport
from vgg_unpool_jax.systems.evaluated import evaluate_objective
from vgg_unpool_jax.systems.saved import Exported, read_saved
from vgg_unpool_jax.training import run_config

_DEFAULT_BITS = 6


class TrainedCompressive(Exported, Recompiled):
    """A compressive autoencoder with its parameters; make one with `load_compressive`.

    Attributes:
      name: for tables.
      config: of the training run.
      model: the Flax module.
      variables: its variables.
      step: number of training steps.
      record: empty; it uses no pretrained weights.
      crop: the crop of evaluation.
      image_size: side of the crop of evaluation in pixels.
      num_qualities: qualities are numbers of bits, 1 to this.
      model_hash: what files carry to find their model, (3,) bytes.
      error_gain: factor by which pictures amplify its errors.
      tiles: false; a photo is processed as a whole.
    """

    error_gain = CompressiveReport.error_gain
    tiles = False
    num_qualities = MAX_BITS
    record: Mapping[str, Any] = {}

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        variables: Mapping[str, Any],
        step: int,
        name: str = "compressive",
    ):
        """Put module and parameters together."""
        self.name, self.config, self.step = name, config, step
        self.model = make_model(config)
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        self.variables = tree_on_device(dict(variables))
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(self.variables):
            digest.update(np.asarray(leaf, np.float32).tobytes())
        self.model_hash = digest.digest()[: bitstream.MODEL_BYTES]

    def describe(self) -> str:
        """One line for a report."""
        bits = self.config.quantizer.bits
        quantiser = f"a quantiser of {bits} bits" if bits else "no quantiser"
        return (
            f"compressive autoencoder ({self.model.form}) with {self.model.channels} "
            f"channels, trained with {quantiser}, after {self.step} steps"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself."""
        return photo

    def quality(self, quality: int | None) -> int:
        """A number of bits, that of the training for None."""
        if quality is None:
            return self.config.quantizer.bits or _DEFAULT_BITS
        if quality != int(quality) or not 1 <= quality <= MAX_BITS:
            raise ConfigError(
                f"quality must be a whole number of bits from 1 to {MAX_BITS}, got "
                f"{quality}"
            )
        return int(quality)

    def compress(
        self,
        photo,
        quality: int | None = None,
        *,
        grey: bool = False,
        effort: int = 0,
    ) -> bytes:
        """Compress a photo.

        Args:
          photo: (h, w, 3) RGB in [0, 255], any real dtype.
          quality: bits of each value; None for those of the training, or 6.
          grey: whether the decoded photo is to have three equal channels.
          effort: 0; all files of a size are of one length.
        """
        if effort:
            raise ConfigError(f"a compressive autoencoder has no effort, got {effort}")
        photo = np.asarray(photo)
        require_image("photo", photo, 3)
        check_photo_range("photo", photo)
        bits = self.quality(quality)
        height, width = photo.shape[:2]
        if max(height, width) > bitstream.LARGEST_SIDE:
            raise PhotoError(
                f"a photo must have sides up to {bitstream.LARGEST_SIDE} to be "
                f"compressed, got {height}×{width}"
            )
        below, right = (-side % STRIDE for side in (height, width))
        padded = np.pad(photo, [(0, below), (0, right), (0, 0)], mode="edge")
        latents = self._jitted_encode(self.variables, padded.astype(np.float32))
        integers, low, high = (np.asarray(a)[0] for a in quantize(latents, bits))
        head = Head(self.model_hash, bits, height, width, grey)
        ranges = np.stack([low[0, 0], high[0, 0]]).astype("<f4")
        stream = ranges.tobytes() + pack(integers.transpose(2, 0, 1), bits)
        return bitstream.write(head, [stream])

    def decompress(
        self,
        content: bytes,
        *,
        name: str = "the compressed photo",
        keep_damaged: bool = False,
    ) -> np.ndarray:
        """Decode a photo.

        Args:
          content: of a file.
          name: of the file, for messages.
          keep_damaged: without effect: a file has no tiles that could be kept.

        Returns:
          uint8 (h, w, 3) RGB.
        """
        del keep_damaged
        head, position = bitstream.read_head(content, name)
        if head.model != self.model_hash:
            raise BitstreamError(
                f"{name} was compressed by another model ({head.model.hex()}, this one "
                f"is {self.model_hash.hex()}), or its head is damaged"
            )
        (stream,) = bitstream.read_streams(content, position, 1, name)
        rows, columns = (-(-side // STRIDE) for side in (head.height, head.width))
        channels, bits = self.model.channels, head.quality
        count = channels * rows * columns
        wanted = 8 * channels + -(-count * bits // 8)
        if not 1 <= bits <= MAX_BITS or len(stream) != wanted:
            raise BitstreamError(
                f"{name} has {len(stream)} bytes of {bits} bits a value, expected "
                f"{wanted}"
            )
        ranges = np.frombuffer(stream[: 8 * channels], "<f4").reshape(2, 1, 1, 1, -1)
        integers = unpack(stream[8 * channels :], bits, count)
        integers = integers.reshape(channels, rows, columns).transpose(1, 2, 0)[None]
        latents = dequantize(Quantized(integers, *ranges), bits)
        image = np.asarray(self._jitted_decode(self.variables, latents))
        image = image[: head.height, : head.width]
        if head.grey:
            image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
        return np.round(np.clip(image, 0, 255)).astype(np.uint8)

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Compress a photo as in training and decode it, float32 (h, w, 3)."""
        del tiling
        return self.decompress(self.compress(photo)).astype(np.float32)

    def reconstruct(self, images) -> jax.Array:
        """`reconstruct_photo` of each of (n, h, w, 3)."""
        return jnp.stack([on_device(self.reconstruct_photo(i)) for i in images])

    def evaluate(
        self, split: Split, *, bits: int | None = None, **options
    ) -> Evaluation:
        """Evaluate with and without the quantiser.

        Args:
          split: the photos.
          bits: of the quantiser; None for those of the training, 0 for none.
          **options: of `evaluate_split`; crops are multiples of 8 pixels.
        """
        config = self.config.copy_and_resolve_references()
        if bits is not None:
            config.quantizer.bits = bits
        objective = from_config(config)
        report = CompressiveReport(objective)
        return evaluate_objective(self, objective, report, split, **options)

    @functools.cached_property
    def _jitted_encode(self):
        def encode(variables, photo):
            return self.model.apply(variables, photo[None], method="encode")

        return jax.jit(encode)

    @functools.cached_property
    def _jitted_decode(self):
        def decode(variables, latents):
            return self.model.apply(variables, latents, method="decode")[0]

        return jax.jit(decode)


def pack(integers: np.ndarray, bits: int) -> bytes:
    """Integers from 0 to 2^bits - 1, in their order, lowest bit first."""
    shifts = np.arange(bits, dtype=np.uint8)
    planes = integers.reshape(-1, 1).astype(np.uint8) >> shifts & 1
    return np.packbits(planes, bitorder="little").tobytes()


def unpack(content: bytes, bits: int, count: int) -> np.ndarray:
    """The first integers of `pack`, int32 (count,)."""
    planes = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    planes = planes[: count * bits].reshape(count, bits).astype(np.int32)
    return (planes << np.arange(bits)).sum(axis=1).astype(np.int32)


def load_compressive(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedCompressive:
    """Load a trained compressive autoencoder.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: refused; there are no pretrained weights.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    if weights is not None:
        raise ConfigError(f"a compressive autoencoder needs no weights, got {weights}")
    saved = read_saved(workdir, "compressive")
    with run_config.describing(saved.path, "compressive autoencoder"):
        name = pathlib.PurePath(workdir).name.removesuffix(file.SUFFIX)
        return TrainedCompressive(saved.config, saved.variables, saved.step, name)
