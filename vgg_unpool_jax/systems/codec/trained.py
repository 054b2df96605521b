"""Trained codecs ready to use from other code: photos to bytes, and back.

Photos are (h, w, 3) RGB in [0, 255] of any size from 1×1. The transforms run on the
device in overlapping windows, so that the memory does not grow with the photo beyond
its own arrays; predictions and entropy coding run on the host in integers.
"""

import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.evaluation.evaluator import Evaluation
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.releases import file, index, storage
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems import load_trained
from vgg_unpool_jax.systems.codec import bitstream, coder
from vgg_unpool_jax.systems.codec.bitstream import BitstreamError, Head
from vgg_unpool_jax.systems.codec.integer_net import IntegerNet
from vgg_unpool_jax.systems.codec.model import RATIO
from vgg_unpool_jax.systems.codec.objective import from_config, make_model
from vgg_unpool_jax.systems.codec.refinement import make_estimate, refine_photo
from vgg_unpool_jax.systems.codec.report import CodecReport
from vgg_unpool_jax.systems.codec.tables import (
    Tables,
    conditional_tables,
    hyper_tables,
)
from vgg_unpool_jax.systems.codec.windows import tile_places, tiles, windows
from vgg_unpool_jax.systems.evaluated import evaluate_objective
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.training import run_config

_LARGEST_HYPER = 1023

# Larger photos are refused, also when their size is read from a file, before any memory
# is taken: a damaged head must not ask for terabytes.
MAX_PIXELS = 2**28


class TrainedCodec(Recompiled):
    """A codec with its parameters; make one with `load_codec`.

    Attributes:
      name: for tables.
      config: of the training run.
      model: the Flax module, a `model.Codec`.
      variables: its variables.
      step: number of training steps.
      record: of the pretrained networks in its loss; a release has none.
      crop: the crop of evaluation.
      image_size: side of the crop of evaluation in pixels.
      num_qualities: qualities are 1 to this, from small to large files.
      model_hash: what files carry to find their model, (3,) bytes.
      error_gain: factor by which pictures amplify its errors.
      tiles: it takes photos of any size.
    """

    error_gain = CodecReport.error_gain
    tiles = True

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        variables: Mapping[str, Any],
        step: int,
        name: str = "codec",
        record: Mapping[str, Any] | None = None,
    ):
        """Put module, parameters and tables together."""
        self.name = name
        self.config, self.step, self.record = config, step, dict(record or {})
        self.model = make_model(config)
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        self.num_qualities = self.model.num_qualities
        stored = dict(variables)
        params = jax.tree.map(np.asarray, stored["params"])
        self._tables = stored.get("tables") or _make_tables(params)
        self.variables = tree_on_device(
            {name: stored[name] for name in ("params", "statistics")}
        )
        arrays = {name: np.asarray(table) for name, table in self._tables.items()}
        self.tables = Tables(arrays["conditional"], arrays["hyper"])
        self.net = IntegerNet(params, self.model.steps)
        self.model_hash = _digest(stored["params"], arrays)[: bitstream.MODEL_BYTES]

    def describe(self) -> str:
        """One line for a report."""
        return (
            f"codec with {self.num_qualities} qualities and {self.model.channels} "
            f"channels, after {self.step} steps"
        )

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself."""
        return photo

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
          quality: 1 to `num_qualities`; None for the middle one.
          grey: whether the decoded photo is to have three equal channels.
          effort: how often integers are changed for a lower cost, see `refinement`; 10
            have most of the gain.

        Returns:
          The content of a file; see `bitstream`.
        """
        check_photo_range("photo", photo)
        photo = np.asarray(photo)
        if photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
            raise ValueError(f"photo must be (h, w, 3), got {photo.shape}")
        quality = self.quality(quality)
        height, width = photo.shape[:2]
        largest = bitstream.LARGEST_SIDE
        if max(height, width) > largest or self._padded(height, width) > MAX_PIXELS:
            raise PhotoError(
                f"a photo must have sides up to {largest} and at most {MAX_PIXELS:,} "
                f"pixels to be compressed, got {height}×{width}"
            )
        hyper, integers = self.encode(photo, quality)
        if effort < 0:
            raise ConfigError(f"effort must be at least 0, got {effort}")
        if effort:

            def estimate(*window):
                return self._jitted_estimate(self.variables, *window, quality - 1)

            integers = refine_photo(
                estimate, photo, hyper, integers, self.model, effort
            )
        streams = [
            coder.write_tile(
                self.tables, self.net, self.model.steps, quality - 1, *tile
            )
            for tile in tiles(hyper, integers)
        ]
        head = Head(self.model_hash, quality, height, width, grey)
        return bitstream.write(head, streams)

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
          keep_damaged: decode tiles that are damaged as grey instead of failing; a
            head that is damaged fails all the same.

        Returns:
          uint8 (h, w, 3) RGB.

        Raises:
          BitstreamError: for anything that is not a whole file of this model.
        """
        head, _, integers = self.read(content, name=name, keep_damaged=keep_damaged)
        image = self.decode(integers, head.quality)[: head.height, : head.width]
        if head.grey:
            image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
        image = np.clip(image, 0, 255, out=image)
        return np.round(image, out=image).astype(np.uint8)

    def read(
        self, content: bytes, *, name: str = "the compressed photo", keep_damaged=False
    ) -> tuple[Head, np.ndarray, np.ndarray]:
        """Head, hyper integers and integers of a compressed photo."""
        head, position = bitstream.read_head(content, name)
        stride = self.model.stride
        size = tuple(-(-side // stride) for side in (head.height, head.width))
        rows, columns = (-(-side // RATIO) for side in size)
        if self._padded(head.height, head.width) > MAX_PIXELS:
            raise BitstreamError(
                f"{name} claims {head.height}×{head.width} pixels, and photos of at "
                f"most {MAX_PIXELS:,} are decoded"
            )
        if head.model != self.model_hash:
            raise BitstreamError(
                f"{name} was compressed by another model ({head.model.hex()}, this one "
                f"is {self.model_hash.hex()}), or its head is damaged"
            )
        places = tile_places(rows, columns)
        streams = bitstream.read_streams(content, position, len(places), name)
        if not 1 <= head.quality <= self.num_qualities:
            raise BitstreamError(
                f"{name} has the quality {head.quality}, expected 1 to "
                f"{self.num_qualities}"
            )
        damaged = [n for n, stream in enumerate(streams) if stream is None]
        if damaged and not keep_damaged:
            raise BitstreamError(
                f"{name} is damaged in {len(damaged)} of its {len(streams)} tiles"
            )
        # Small integers, because those of a large photo are many.
        hyper = np.zeros((rows, columns, self.model.hyper_channels), np.int16)
        integers = np.zeros((*size, self.model.channels), np.int16)
        for (outer, inner), stream in zip(places, streams, strict=True):
            if stream is None:
                continue
            empty = (
                np.zeros(a.shape, np.int64) for a in (hyper[outer], integers[inner])
            )
            steps = self.model.steps
            try:
                found = coder.read_tile(
                    self.tables, self.net, steps, head.quality - 1, *empty, stream
                )
            except coder.StreamError as error:
                raise BitstreamError(f"{name} cannot be decoded ({error})") from error
            hyper[outer], integers[inner] = found
        return head, hyper, integers

    def quality(self, quality: int | None) -> int:
        """A quality, the middle one for None; `ConfigError` for one out of range."""
        if quality is None:
            return (self.num_qualities + 1) // 2
        if quality != int(quality) or not 1 <= quality <= self.num_qualities:
            raise ConfigError(
                f"quality must be a whole number from 1 to {self.num_qualities}, got "
                f"{quality}"
            )
        return int(quality)

    def encode(self, photo: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
        """Integers of a photo.

        Args:
          photo: (h, w, 3) RGB in [0, 255].
          quality: from 1.

        Returns:
          hyper: int16 (⌈h / (4 stride)⌉, ⌈w / (4 stride)⌉, hyper channels).
          integers: int16 (⌈h / stride⌉, ⌈w / stride⌉, channels).
        """
        stride = self.model.stride
        below, right = (-side % stride for side in photo.shape[:2])
        padded = np.pad(photo, [(0, below), (0, right), (0, 0)], mode="edge")
        size = tuple(side // stride for side in padded.shape[:2])
        # The only array of the photo's size beside it and the integers.
        aligned = [side + -side % RATIO for side in size]
        whole = np.zeros((*aligned, self.model.channels), np.float32)
        scaled = whole[: size[0], : size[1]]
        for window, inner, outer in windows(size, self.model.reach):
            pixels = tuple(slice(stride * s.start, stride * s.stop) for s in window)
            part = padded[pixels].astype(np.float32)
            encoded = self._jitted_encode(self.variables, part, quality - 1)
            scaled[outer] = np.asarray(encoded)[inner]
        rows, columns = (side // RATIO for side in whole.shape[:2])
        hyper = np.empty((rows, columns, self.model.hyper_channels), np.float32)
        for window, inner, outer in windows(whole.shape[:2], self.model.reach):
            encoded = self._jitted_hyper(self.variables, whole[window])
            part, place = (
                tuple(slice(s.start // RATIO, s.stop // RATIO) for s in slices)
                for slices in (inner, outer)
            )
            hyper[place] = np.asarray(encoded)[part]
        for array, limit in ((hyper, _LARGEST_HYPER), (scaled, coder.LARGEST)):
            np.clip(np.round(array, out=array), -limit, limit, out=array)
        return hyper.astype(np.int16), scaled.astype(np.int16)

    def decode(self, integers: np.ndarray, quality: int) -> np.ndarray:
        """Integers to float32 (stride h, stride w, 3), not clipped."""
        size, stride = integers.shape[:2], self.model.stride
        image = np.empty((stride * size[0], stride * size[1], 3), np.float32)
        for window, inner, outer in windows(size, self.model.reach):
            part = integers[window].astype(np.float32)
            decoded = self._jitted_decode(self.variables, part, quality - 1)
            source, place = (
                tuple(slice(stride * s.start, stride * s.stop) for s in slices)
                for slices in (inner, outer)
            )
            image[place] = np.asarray(decoded)[source]
        return image

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Compress a photo at the middle quality and decode it, float32 (h, w, 3)."""
        del tiling
        return self.decompress(self.compress(photo)).astype(np.float32)

    def reconstruct(self, images) -> jax.Array:
        """`reconstruct_photo` of each of (n, h, w, 3)."""
        return jnp.stack([on_device(self.reconstruct_photo(i)) for i in images])

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate over crops, with estimated rates of all qualities.

        Args:
          split: the photos; `rate_distortion` measures whole ones, and files.
          **options: of `evaluate_split`; crops are multiples of
            `model.hyper_stride` pixels.
        """
        options = {"image_size": self.image_size, "crop": self.crop, **options}
        options["image_size"] = options["image_size"] or self.image_size
        multiple = self.model.hyper_stride
        if options["image_size"] % multiple or options["crop"] == "whole":
            raise ConfigError(
                f"a codec is evaluated on crops of a multiple of {multiple} pixels,"
                f" got {options['crop']} and {options['image_size']}: rate_distortion "
                "takes photos of any size"
            )
        # Its loss is not reported, so that its terms of other networks are not needed.
        objective = from_config(self.config, with_terms=False)
        report = CodecReport(objective)
        return evaluate_objective(self, objective, report, split, **options)

    def export(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float16",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the codec as a release, with tables that fit the stored numbers."""
        flat = flatten_dict({"params": self.variables["params"]}, sep="/")
        stored = storage.unpack(path, storage.pack(flat, dtype))
        rounded = unflatten_dict(stored, sep="/")["params"]
        tables = {
            name: np.asarray(table, np.float32)
            for name, table in _make_tables(rounded).items()
        }
        statistics = jax.tree.map(np.asarray, self.variables["statistics"])
        variables = {"params": rounded, "statistics": statistics, "tables": tables}
        config = self.config.to_dict()
        file.write(
            path, variables, config=config, step=self.step, dtype=dtype, facts=facts
        )

    @functools.cached_property
    def _jitted_encode(self) -> Callable:
        return jax.jit(functools.partial(self._apply, "encode"))

    @functools.cached_property
    def _jitted_decode(self) -> Callable:
        return jax.jit(functools.partial(self._apply, "decode"))

    @functools.cached_property
    def _jitted_estimate(self) -> Callable:
        lambdas = tuple(self.config.loss.lambdas)
        return jax.jit(make_estimate(self.model, lambdas))

    @functools.cached_property
    def _jitted_hyper(self) -> Callable:
        def encode(variables, scaled):
            arguments = {"method": "encode_hyper"}
            return self.model.apply(variables, scaled[None], **arguments)[0]

        return jax.jit(encode)

    def _padded(self, height: int, width: int) -> int:
        """Pixels of a photo whose sides are whole numbers of hyper latents."""
        unit = self.model.hyper_stride
        return math.prod(side + -side % unit for side in (height, width))

    def _apply(self, method, variables, array, quality):
        qualities = jnp.asarray(quality, jnp.int32)[None]
        return self.model.apply(variables, array[None], qualities, method=method)[0]


def _make_tables(params) -> dict[str, np.ndarray]:
    names = ("hyper_logits", "hyper_means", "hyper_log_scales")
    density = (np.asarray(params[name], np.float64) for name in names)
    return {"conditional": conditional_tables(), "hyper": hyper_tables(*density)}


def _digest(params, tables: Mapping[str, np.ndarray]) -> bytes:
    """SHA-256 of all parameters and tables."""
    digest = hashlib.sha256()
    leaves = jax.tree.leaves(params) + [tables[name] for name in sorted(tables)]
    for leaf in leaves:
        digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
    return digest.digest()


def load_codec(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedCodec:
    """Load a trained codec.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: refused; there are no pretrained weights.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    if weights is not None:
        raise ConfigError(f"a codec needs no weights, got {weights}")
    saved = read_saved(workdir, "codec")
    with run_config.describing(saved.path, "codec"):
        name = pathlib.PurePath(workdir).name.removesuffix(file.SUFFIX)
        return TrainedCodec(
            saved.config, saved.variables, saved.step, name, saved.record
        )


def load_compressor(name: str | os.PathLike) -> Any:
    """Load a trained model of any system that has `compress` and `decompress`.

    Args:
      name: as in `load_codec`.
    """
    model = load_trained(name)
    if not hasattr(model, "compress"):
        raise ConfigError(f"{name} compresses no photos: it is a {model.describe()}")
    return model


class CodecByHash:
    """Finds the codec of a compressed photo."""

    def __init__(self, named: str | os.PathLike | None = None):
        """Look among released codecs, or take a named one.

        Args:
          named: as in `load_compressor`; None for the released ones.
        """
        self._named, self._loaded = named, {}

    def find(self, model: bytes, name: str) -> Any:
        """The codec with a hash.

        Args:
          model: first bytes of its hash, from the head of a file.
          name: of the file, for messages.
        """
        released = index.packaged_names("codec")
        names = [self._named] if self._named else list(released)
        for candidate in names:
            if candidate not in self._loaded:
                self._loaded[candidate] = load_compressor(candidate)
            codec = self._loaded[candidate]
            # A named one says itself what does not fit.
            if self._named or codec.model_hash == model:
                return codec
        raise BitstreamError(
            f"{name} was compressed by the model {model.hex()}, which is none of the "
            f"released ones ({', '.join(names) or 'there are none'}): name it with "
            "--codec"
        )
