"""Encoders and encoder-decoder pairs ready to use from other code.

Images are NHWC RGB in [0, 255], any real dtype; results are float32 and jit-compiled.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.errors import CheckpointError, ConfigError, ReleaseError, UserError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.nets.convolution import AUTO
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder, check_image_shape
from vgg_unpool_jax.nets.vgg19_layers import check_block, size_multiple
from vgg_unpool_jax.ops.padding import pad_to_multiple
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.ops.pooling import check_codes
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.recorded import (
    load_recorded_weights,
    load_released_weights,
    released_record,
    weights_record,
)
from vgg_unpool_jax.pretrained.vgg19 import VGG19Weights
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.saved import SavedModel, read_saved
from vgg_unpool_jax.systems.unpooling.decoder import (
    check_decoder_inputs,
    decoder_shapes,
)
from vgg_unpool_jax.systems.unpooling.objective import make_pair_models
from vgg_unpool_jax.systems.unpooling.shapes import ShapedPrograms
from vgg_unpool_jax.systems.unpooling.tiling import reconstruct_tiled
from vgg_unpool_jax.training import parallel, run_config
from vgg_unpool_jax.training.integrity import leaves_by_name

PathLike = str | os.PathLike


class Encoder(Recompiled):
    """A VGG19 encoder with its weights; make one with `load_encoder`.

    Attributes:
      block: 1 to 5, where VGG19 is cut.
      record: origin, SHA-256 and preprocessing of the weights.
      encoder_params: of VGG19, layer name -> {"kernel", "bias"}.
    """

    def __init__(self, block: int, weights: VGG19Weights):
        """Put a module and its weights together."""
        self.block = check_block(block)
        self.record = weights_record(weights)
        self._encoder = VGG19Encoder(block, weights.preprocessing)
        self.encoder_params = tree_on_device(weights.params)

    def encode(self, images) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Encode images.

        Args:
          images: (n, h, w, 3) RGB in [0, 255]; h and w multiples of 2^(block-1).

        Returns:
          features: (n, h/2^(block-1), w/2^(block-1), c) float32.
          switches: uint8 window codes of pools 1..block-1, see `max_unpool`.

        Raises:
          ValueError: for another shape.
        """
        check_photo_range("images", images)
        images = on_device(images, np.float32)
        check_image_shape(images.shape, self.block)
        return self._jitted_encode(self.encoder_params, images, images.shape[1:3])

    @functools.cached_property
    def _jitted_encode(self):
        return ShapedPrograms(self._encode)

    def _encode(self, params, images, size=None):
        variables = {"params": params}
        features, intermediates = self._encoder.apply(variables, images, size)
        return features, intermediates["switches"]


class Pair(Encoder):
    """An encoder and its trained decoder; make one with `load_pair`.

    Attributes:
      step: number of training steps of the decoder.
      config: of the training run.
      crop: default crop of `evaluate`.
      image_size: default side of the crops in pixels.
      error_gain: factor by which pictures amplify its errors.
      tiles: whether it takes photos of any size, large ones in tiles.
      decoder: the Flax module, an `UnpoolingDecoder`.
      decoder_variables: its variables, for `decoder.apply`.
      release: metadata of the release that it was loaded from, see `releases.file`;
        None for a workdir's.
    """

    crop = "center"
    image_size = 256
    error_gain = 8.0
    tiles = True

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        weights: VGG19Weights,
        decoder_variables: Mapping[str, Any],
        step: int,
        release: Mapping[str, Any] | None = None,
    ):
        """Put modules and weights together."""
        super().__init__(config.encoder.block, weights)
        self.config, self.step, self.release = config, step, release
        # Inference always uses float32 and the default convolution, whatever the
        # training config says.
        config = ml_collections.ConfigDict(config.to_dict())
        config.compute_dtype, config.convolution = "float32", AUTO
        self._encoder, self.decoder = make_pair_models(config, weights.preprocessing)
        self.decoder_variables = tree_on_device(dict(decoder_variables))

    def decode(self, features, switches: Sequence[jax.Array]) -> jax.Array:
        """Decode features to images.

        Args:
          features: (n, h/2^(block-1), w/2^(block-1), c), as from `encode`.
          switches: as from `encode`.

        Returns:
          (n, h, w, 3) RGB on the scale of [0, 255], not clipped.

        Raises:
          ValueError: for features and switches that do not fit.
        """
        features = on_device(features, jnp.float32)
        switches = tuple(on_device(codes) for codes in switches)
        check_decoder_inputs(features.shape, switches, self.block)
        for codes in switches:
            check_codes(codes)
        size = tuple(side * size_multiple(self.block) for side in features.shape[1:3])
        encoded = features, switches
        return self._jitted_decode(self.decoder_variables, encoded, size)

    @functools.cached_property
    def _jitted_decode(self):
        return ShapedPrograms(self._decode)

    def reconstruct(self, images) -> jax.Array:
        """Encode and decode images of any size.

        Sides that are not multiples of 2^(block-1) are padded by reflection at the
        bottom and right, and cropped back. A batch whose size is a multiple of the
        number of devices is divided among them.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].

        Returns:
          (n, h, w, 3) RGB clipped to [0, 255].
        """
        check_photo_range("images", images)
        images = on_device(images, np.float32)
        if images.ndim != 4 or images.shape[3] != 3 or not images.size:
            raise ValueError(
                f"images must have shape (n, height, width, 3), got {images.shape}"
            )
        devices = jax.local_device_count()
        # Within jit, grad and vmap the caller decides what runs where.
        is_traced = isinstance(images, jax.core.Tracer)
        if devices == 1 or len(images) % devices or is_traced:
            variables = self.encoder_params, self.decoder_variables
            return self._jitted_reconstruct(variables, images, images.shape[1:3])
        with jax.ensure_compile_time_eval():  # where `jit` closes over the images
            shards = parallel.shard_batch({"image": np.asarray(images)})["image"]
            outputs = self._mapped_reconstruct(self._replicated, shards)
            # On one device, as without division: it can be combined with others.
            return on_device(parallel.unshard(jax.device_get(outputs)))

    @functools.cached_property
    def _jitted_reconstruct(self):
        return ShapedPrograms(self._reconstruct, size_multiple(self.block))

    @functools.cached_property
    def _mapped_reconstruct(self):
        return parallel.parallelize_inference(self._reconstruct)

    @functools.cached_property
    def _replicated(self):
        variables = self.encoder_params, self.decoder_variables
        return parallel.replicate(variables, local=True)

    def reconstruct_photo(
        self, photo, *, tile: int = 1024, progress: Callable | None = None
    ) -> np.ndarray:
        """Encode and decode one photo of any size in bounded memory.

        Args:
          photo: (h, w, 3) RGB in [0, 255]; it stays on the host.
          tile: photos with a longer side are processed in tiles with at most this side
            in pixels, including margins (192 pixels at block 5); 0 disables tiles.
          progress: wraps the list of tiles, such as `tqdm`.

        Returns:
          (h, w, 3) float32, equal to `reconstruct` of the whole photo up to rounding.
        """
        photo = np.asarray(photo)
        if not tile or max(photo.shape) <= tile:
            return np.asarray(self.reconstruct(photo[None]))[0]
        check_photo_range("photo", photo)
        try:
            with any_range():  # a tile may be dark
                return reconstruct_tiled(
                    self.reconstruct,
                    photo,
                    block=self.block,
                    tile=tile,
                    batch=jax.local_device_count(),
                    progress=progress,
                )
        except UserError as error:
            raise ConfigError(str(error)) from error

    def export(
        self,
        path: PathLike,
        *,
        dtype: str = "float32",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the decoder into one file for `load_pair`, and a digest of VGG19.

        Args:
          path: the file, ending in `.safetensors`; one that is there is replaced.
          dtype: "float16" halves the file, "int8" quarters it; see `releases.storage`.
          facts: what users should know, in the types of JSON and without paths, such as
            training photos, hardware, hours, results. None repeats those of the file
            that the pair was loaded from.
        """
        known = self.release or {
            "pretrained": self._pretrained,
            "facts": {},
        }
        file.write(
            path,
            self.decoder_variables,
            config=self.config.to_dict(),
            step=self.step,
            pretrained=known["pretrained"],
            dtype=dtype,
            facts=known["facts"] if facts is None else facts,
        )

    @property
    def _pretrained(self) -> dict[str, str]:
        weights = VGG19Weights(self.encoder_params, **self.record)
        return released_record(weights, self.block)

    def with_decoder(self, variables: Mapping[str, Any]) -> "Pair":
        """The same encoder with other variables of the decoder."""
        encoder = VGG19Weights(self.encoder_params, **self.record)
        return Pair(self.config, encoder, variables, self.step)

    def describe(self) -> str:
        """One line for a report."""
        origin = self.record["origin"]
        return f"block {self.block} after {self.step} steps, VGG19 {origin}"

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """The photo itself, because a pair takes any size."""
        return photo

    def evaluate(self, split: Split, **options):
        """Evaluate over photos; see `evaluation/evaluator.evaluate_split`."""
        # Imported here: most uses of a pair evaluate nothing.
        from vgg_unpool_jax.evaluation.evaluator import evaluate_split

        def compute_outputs(batch):
            images = on_device(batch["image"], jnp.float32)
            with any_range():  # photos of files, some of which are black
                outputs = self.reconstruct(images)
            return {INPUT: images, OUTPUT: outputs, TARGET: images}

        options = {"image_size": self.image_size, "crop": self.crop, **options}
        return evaluate_split(
            compute_outputs, Report(), split.source, split.indices, **options
        )

    def _decode(self, variables, encoded, size=None):
        return self.decoder.apply(variables, *encoded, size)[0]

    def _reconstruct(self, variables, images, size=None):
        encoder_params, variables = variables
        padded = pad_to_multiple(images, size_multiple(self.block))
        encoded = self._encode(encoder_params, padded, size)
        outputs = self._decode(variables, encoded, size)
        _, height, width, _ = images.shape
        return jnp.clip(outputs[:, :height, :width], 0.0, 255.0)


def load_encoder(block: int, weights: PathLike | None = None) -> Encoder:
    """Load a VGG19 encoder cut at block{block}_conv2.

    Args:
      block: 1 to 5.
      weights: a weight file (Keras .h5, torchvision .pth or .safetensors); None for the
        file in the environment variable VGG19_WEIGHTS, else the cache, else a download.

    Raises:
      ValueError: for another block.
      WeightsError: when the weights are unavailable.
    """
    return Encoder(block, load_vgg19_weights(weights, block=check_block(block)))


def load_pair(workdir_or_name: PathLike, weights: PathLike | None = None) -> Pair:
    """Load a trained pair: a run's, or a released decoder with its encoder.

    Args:
      workdir_or_name: folder of a training run; the file of a released decoder, ending
        in `.safetensors`; a model folder; the name of a released decoder, such as
        "vgg19-block1", which is looked for in the package, in the cache and at the
        address that `releases.index` knows; or "hf:OWNER/NAME" for a model folder on
        the Hugging Face Hub. A path that exists goes before a name.
      weights: the encoder's weight file. None is, for a run, the file that it was
        trained with if it is still there, else the order of `load_encoder`; for a
        released decoder that order. A pair that was trained with random weights needs
        none. Runs know their weights by the file's hash, released decoders by the
        layers that they use, which other files may hold as well.

    Raises:
      ConfigError: when the folder is no workdir, or of another system.
      CheckpointError: when there is no checkpoint in it, or not one of this config.
      ReleaseError: when there is no such name or file, or it cannot be used.
      ReleaseUnavailableError: when it is not here and could not be fetched.
      WeightsError: when the weights are unavailable.
      WeightsMismatchError: when they are not those that the pair was trained with.
    """
    saved = read_saved(workdir_or_name, "unpooling")
    config, release = saved.config, saved.release
    unusable = ConfigError if release is None else ReleaseError
    with run_config.describing(saved.path, "pair", unusable):
        if release is None:
            make_pair_models(config, "caffe")  # has more specific messages
        if differences := _decoder_differences(saved):
            block = config.encoder.block
            raise (CheckpointError if release is None else ReleaseError)(
                f"the parameters do not fit the decoder that {saved.path} describes "
                f"with its config of block {block}: {differences}"
            )
        if release is None:
            recorded = saved.record.get("vgg19")
            found = load_recorded_weights(config.encoder, recorded, weights)
        else:
            found = load_released_weights(release, weights)
        return Pair(config, found, saved.variables, saved.step, release)


def _decoder_differences(saved: SavedModel) -> str:
    """How variables differ in shape from those that their config describes, as text."""
    config, holder = saved.config, f"the config in {saved.path}"
    section = config.decoder.to_dict()
    expected = decoder_shapes(config.encoder.block, section, holder)
    found = {name: np.shape(leaf) for name, leaf in leaves_by_name(saved.variables)}
    return "; ".join(
        f"{name} is {found.get(name, 'absent')}, expected "
        f"{expected.get(name, 'absent')}"
        for name in sorted(found | expected)
        if found.get(name) != expected.get(name)
    )
