"""Trained generators ready to use from other code.

Images are NHWC RGB in [0, 255], any real dtype; results are float32. Functions are
jit-compiled, once per shape.
"""

import functools
import logging
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from vgg_unpool_jax.data import Split
from vgg_unpool_jax.data.crops import cut_photo
from vgg_unpool_jax.errors import WeightsUnavailableError
from vgg_unpool_jax.evaluation.evaluator import Evaluation, evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.ops.photo_range import any_range, check_photo_range
from vgg_unpool_jax.ops.placing import on_device, tree_on_device
from vgg_unpool_jax.pretrained.feature_layers import (
    frozen_params,
    load_layers,
    released_record,
)
from vgg_unpool_jax.releases import file
from vgg_unpool_jax.runtime.recompiled import Recompiled
from vgg_unpool_jax.systems.deepsim.loss import comparator_of
from vgg_unpool_jax.systems.deepsim.models import CODE_STRIDE, STATISTICS
from vgg_unpool_jax.systems.deepsim.objective import (
    GENERATOR,
    compare_features,
    inverted_layer,
    make_model,
)
from vgg_unpool_jax.systems.deepsim.report import DeePSiMReport
from vgg_unpool_jax.systems.saved import SavedModel, read_saved
from vgg_unpool_jax.training import run_config

_LOG = logging.getLogger(__name__)


class TrainedInverter(Recompiled):
    """A generator with its parameters; make one with `load_inverter`.

    Attributes:
      config: of the training run.
      model: the Flax module, a `Generator` or `Autoencoder`.
      layer: the layer of a pretrained network that it inverts; None for an autoencoder.
      variables: of the module, for `model.apply`.
      step: number of training steps.
      record: network -> facts about its weights.
      crop: the crop of evaluation, see `data/crops`.
      image_size: default side of the images in pixels.
      error_gain: factor by which pictures amplify its errors.
      tiles: whether it takes photos of any size, large ones in tiles.
    """

    error_gain = DeePSiMReport.error_gain
    tiles = False

    def __init__(self, saved: SavedModel, weights: str | os.PathLike | None = None):
        """Put module and parameters together."""
        config = ml_collections.ConfigDict(saved.config.to_dict())
        self.config, self.step, self.record = config, saved.step, saved.networks
        self.model, self.layer = make_model(config), inverted_layer(config)
        for network in config.weights:
            config.weights[network] = saved.weight_file(config.weights[network])
        if weights is not None:
            # Those of an autoencoder compare images in `evaluate`.
            network = (self.layer or config.comparator).network
            config.weights[network] = os.fspath(weights)
        self.crop = config.evaluation.crop
        self.image_size = config.evaluation.image_size
        params = dict(saved.variables["params"])
        self.variables = {"params": tree_on_device(params[GENERATOR])}
        if self.layer is not None:
            statistics = saved.variables[STATISTICS]
            self.variables[STATISTICS] = tree_on_device(statistics)

    def describe(self) -> str:
        """One line for a report."""
        params = jax.tree.leaves(self.variables["params"])
        count = sum(leaf.size for leaf in params)
        what = "autoencoder"
        if self.layer is not None:
            what = f"inverse of {self.layer.network} {self.layer.layer}"
        return f"{what} of {count:,} parameters, after {self.step} steps"

    @property
    def multiple(self) -> int:
        """Sides of images must be multiples of this."""
        return CODE_STRIDE if self.layer is None else self.layer.multiple

    def prepare(self, photo: np.ndarray) -> np.ndarray:
        """Crop a photo of any size as in evaluation.

        Args:
          photo: uint8 (h, w, 3) RGB.

        Returns:
          uint8 (image_size, image_size, 3).
        """
        return cut_photo(photo, self.crop, self.image_size)

    def encode(self, images) -> jax.Array:
        """What the generator gets: features of the layer, or codes.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].

        Returns:
          (n, h', w', c) float32.
        """
        check_photo_range("images", images)
        images = on_device(images, jnp.float32)
        return self._jitted_encode(self.variables["params"], self._frozen, images)

    def invert(self, features, size: tuple[int, int] | None = None) -> jax.Array:
        """Make images of features; no pretrained network is needed for it.

        Args:
          features: (n, h', w', c) as from `encode`.
          size: height and width of the images; None for the largest multiples of the
            layer's stride that have features of this size.

        Returns:
          (n, h, w, 3) RGB clipped to [0, 255].
        """
        features = on_device(features, jnp.float32)
        if features.ndim != 4:
            raise ValueError(
                f"features must have shape (n, h, w, c), got {features.shape}"
            )
        if size is None:
            size = self._default_size(features.shape[1:3])
        return self._jitted_invert(self.variables, features, tuple(size))

    def reconstruct(self, images) -> jax.Array:
        """Encode images and invert the features; shapes as in `encode`."""
        return self.invert(self.encode(images), np.shape(images)[1:3])

    def reconstruct_photo(self, photo, **tiling) -> np.ndarray:
        """Reconstruct one image (h, w, 3), as from `prepare`."""
        del tiling  # options of a pair
        return np.asarray(self.reconstruct(np.asarray(photo)[None]))[0]

    def rounds(self, images, count: int = 8) -> list[np.ndarray]:
        """Reconstruct images, reconstruct these reconstructions, and so on.

        Args:
          images: (n, h, w, 3) RGB in [0, 255].
          count: number of rounds.

        Returns:
          A list of `count` arrays (n, h, w, 3).
        """
        check_photo_range("images", images)
        found = [np.asarray(images, np.float32)]
        with any_range():  # outputs may be dark
            for _ in range(count):
                found.append(np.asarray(self.reconstruct(found[-1])))
        return found[1:]

    def interpolate(self, first, second, steps: int = 8) -> np.ndarray:
        """Images of features on the straight line between those of two images.

        Args:
          first: (h, w, 3) RGB in [0, 255].
          second: the same shape.
          steps: number of images, both ends included.

        Returns:
          (steps, h, w, 3).
        """
        ends = self.encode(np.stack([first, second]))
        share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None, None, None]
        features = (1.0 - share) * ends[:1] + share * ends[1:]
        return np.asarray(self.invert(features, np.shape(first)[:2]))

    def export(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float32",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the generator into one file for `load_inverter`.

        See `releases.file.write`; the discriminator is left out.
        """
        variables = dict(self.variables)
        variables["params"] = {GENERATOR: variables["params"]}
        pretrained = {}
        if self.layer is not None:
            pretrained = released_record(*self._network)
        file.write(
            path,
            variables,
            config=self.config.to_dict(),
            step=self.step,
            pretrained=pretrained,
            dtype=dtype,
            facts=facts,
        )

    def evaluate(self, split: Split, **options) -> Evaluation:
        """Evaluate over photos; see `evaluation/evaluator.evaluate_split`.

        Args:
          split: the photos.
          **options: of `evaluate_split`.
        """
        layers = [self.layer] if self.layer else comparator_of(self.config)
        try:
            layers, weights = load_layers(layers, self.config.weights, self.record)
        except WeightsUnavailableError as error:
            if self.layer:
                raise
            _LOG.warning("features are not compared: %s", error)
            layers, weights = [], {}
        layer, frozen = (layers or [None])[0], frozen_params(weights)

        @jax.jit
        def compute(variables, frozen, images):
            features = self._encode(variables["params"], frozen, images, layer)
            outputs = self._decode(variables, features, images.shape[1:3])
            known = features if self.layer else None
            return {
                **{INPUT: images, OUTPUT: outputs, TARGET: images},
                **compare_features(layer, frozen, images, outputs, known),
            }

        def compute_outputs(batch):
            images = on_device(batch["image"], jnp.float32)
            return compute(self.variables, frozen, images)

        options = {"image_size": self.image_size, "crop": self.crop, **options}
        return evaluate_split(
            compute_outputs,
            DeePSiMReport(),
            split.source,
            split.indices,
            **options,
        )

    def _default_size(self, cells: tuple[int, int]) -> tuple[int, int]:
        if self.layer is None:
            height, width = cells
            return height * CODE_STRIDE, width * CODE_STRIDE
        if self.config.model.published:
            return self.image_size, self.image_size
        return self.layer.default_size(cells)

    @functools.cached_property
    def _network(self):
        """The inverted layer and its weights, looked for when first needed."""
        paths = self.config.weights
        (layer,), weights = load_layers([self.layer], paths, self.record)
        return layer, weights[layer.network]

    @functools.cached_property
    def _frozen(self):
        if self.layer is None:
            return {}
        layer, weights = self._network
        return frozen_params({layer.network: weights})

    @functools.cached_property
    def _jitted_encode(self):
        layer = self._network[0] if self.layer else None
        return jax.jit(
            lambda params, frozen, images: self._encode(params, frozen, images, layer)
        )

    @functools.cached_property
    def _jitted_invert(self):
        def invert(variables, features, size):
            return jnp.clip(self._decode(variables, features, size), 0.0, 255.0)

        return jax.jit(invert, static_argnums=2)

    def _encode(self, params, frozen, images, layer):
        if self.layer is None:
            return self.model.apply({"params": params}, images, method="encode")
        return layer.apply(frozen[layer.network], images)

    def _decode(self, variables, features, size):
        return self.model.apply(variables, features, size, method="decode")


def load_inverter(
    workdir: str | os.PathLike, weights: str | os.PathLike | None = None
) -> TrainedInverter:
    """Load a trained generator: the inverse of a layer, or an autoencoder.

    Args:
      workdir: folder of a training run, or a release, see `releases.index.find`.
      weights: weight file of the network that it inverts, or by which `evaluate`
        compares images of an autoencoder; None for the one of the training, of a
        release for the one that the environment names or the public one. It is not
        needed for `invert`.

    Raises:
      ConfigError: when the folder is not a workdir, or of another system.
      CheckpointError: when there is no checkpoint in it.
    """
    saved = read_saved(workdir, "deepsim")
    with run_config.describing(saved.path, "generator"):
        return TrainedInverter(saved, weights)
