"""LPIPS and DISTS, as metrics and as losses.

Images are NHWC RGB in [0, 255], like everywhere here; the authors' programs expect
other ranges ([-1, 1] for LPIPS, [0, 1] for DISTS), to which these scale. Distances are
float32, at least 0, and smaller is better. They equal those of the authors' programs;
tests/evaluation/test_perceptual.py has the values.
"""

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vgg_unpool_jax.errors import (
    ConfigError,
    WeightsError,
    WeightsMismatchError,
    require_image,
)
from vgg_unpool_jax.evaluation.metrics import PERCEPTUAL_METRICS
from vgg_unpool_jax.losses import dists, lpips, lpips_maps
from vgg_unpool_jax.nets.alexnet import MIN_SIDE, AlexNet
from vgg_unpool_jax.nets.vgg16 import VGG16
from vgg_unpool_jax.ops.photo_range import check_photo_range
from vgg_unpool_jax.ops.placing import tree_on_device
from vgg_unpool_jax.pretrained.metric_heads import (
    Heads,
    head_files,
    load_dists_heads,
    load_lpips_heads,
)
from vgg_unpool_jax.pretrained.networks import (
    NetworkWeights,
    load_network_weights,
    network_files,
    require_torchvision,
)
from vgg_unpool_jax.runtime.recompiled import Recompiled

PathLike = str | os.PathLike

# The layers of VGG16 that both metrics look at, and those of AlexNet.
_VGG16_LAYERS = tuple(
    f"block{block}_conv{number}" for block, number in enumerate((2, 2, 3, 3, 3), 1)
)
_LAYERS = {
    "alex": ("conv1", "conv2", "conv3", "conv4", "conv5"),
    "vgg": _VGG16_LAYERS,
}
_NETWORKS = {"alex": "alexnet", "vgg": "vgg16"}
# Metric -> LPIPS's network; the metrics that commands compute if nothing else is said.
_LPIPS_NETS = {"lpips": "alex", "lpips_vgg": "vgg"}
DEFAULT_METRICS = ("lpips", "dists")


class PerceptualMetric(Recompiled):
    """A distance of two batches of photos by the features of a network.

    Attributes:
      name: key of `evaluation.metrics.PERCEPTUAL_METRICS`.
      params: arrays that the distance depends on; an objective keeps them among its
        frozen arrays and gives them to `distances`.
      record: origin and SHA-256 of the weights, for checkpoints and result files.
      min_side: smallest side of a photo in pixels.
    """

    name: str
    min_side: int

    def __init__(self, network: NetworkWeights, heads: Heads):
        """Put weights together."""
        title = PERCEPTUAL_METRICS[self.name].title
        params = require_torchvision(network, title)
        self.params = tree_on_device({"net": params, "heads": heads.arrays})
        self.record = {
            "network": {"origin": network.origin, "sha256": network.sha256},
            "heads": {"origin": heads.origin, "sha256": heads.sha256},
        }

    def distances(self, params: Mapping[str, Any], a: jax.Array, b: jax.Array):
        """The distance (n,) of each pair, a pure function for `jit`, `grad`, `vmap`.

        Args:
          params: `self.params`.
          a: (n, h, w, 3) RGB in [0, 255], any float dtype.
          b: the same shape.
        """
        raise NotImplementedError

    def __call__(self, a, b) -> jax.Array:
        """The distance (n,) of each pair.

        Args:
          a: (n, h, w, 3) RGB in [0, 255], any real dtype.
          b: the same shape.

        Raises:
          ValueError: for other shapes, and values that are no photo's.

        Warns:
          PhotoRangeWarning: for values that are probably on another scale.
        """
        return self._distances(self.params, *self.check(a, b))

    def check(self, a, b) -> tuple[jax.Array, jax.Array]:
        """Both batches as floats, after a check of shapes and ranges."""
        for name, photos in (("a", a), ("b", b)):
            check_photo_range(name, photos)
        a, b = (_as_float(photos) for photos in (a, b))
        require_image("a", a, 4)
        if a.shape != b.shape:
            raise ValueError(
                f"a has shape {a.shape} and b has shape {b.shape}; expected equal ones"
            )
        if not self.fits(*a.shape[1:3]):
            raise ValueError(self.too_small(*a.shape[1:3]))
        return a, b

    def fits(self, height: int, width: int) -> bool:
        """Whether photos of this size are large enough."""
        return min(height, width) >= self.min_side

    def too_small(self, height: int, width: int) -> str:
        """The sentence for photos that are too small."""
        title = PERCEPTUAL_METRICS[self.name].title
        return (
            f"{title} is left out at {height} x {width} pixels: it needs sides of at "
            f"least {self.min_side} pixels."
        )

    @functools.cached_property
    def _distances(self):
        return jax.jit(self.distances)


class LPIPS(PerceptualMetric):
    """LPIPS version 0.1; make one with `load_lpips`.

    Attributes:
      layers: names of the layers that it looks at, first to last.
    """

    def __init__(
        self, net: str, network: NetworkWeights, heads: Heads, dtype=jnp.float32
    ):
        """Make a metric of "alex" or "vgg" and its weights."""
        self.name = {value: key for key, value in _LPIPS_NETS.items()}[net]
        self.layers = _LAYERS[net]
        last = self.layers[-1]
        self._net = (AlexNet if net == "alex" else VGG16)(last=last, dtype=dtype)
        self.min_side = MIN_SIDE if net == "alex" else 16
        super().__init__(network, heads)

    def distances(self, params, a, b):
        """See `PerceptualMetric.distances`."""
        return lpips(*self._features(params, a, b), params["heads"])

    def by_layer(self, a, b) -> dict[str, jax.Array]:
        """The part (n,) of each layer in the distance, by the layer's name."""
        maps = self._maps(self.params, *self.check(a, b))
        parts = [jnp.mean(values, axis=(1, 2)) for values in maps]
        return dict(zip(self.layers, parts, strict=True))

    def map(self, a, b) -> jax.Array:
        """Where photos differ: the layers' maps at the size of the photos, summed.

        Args:
          a: (n, h, w, 3) RGB in [0, 255], any real dtype.
          b: the same shape.

        Returns:
          (n, h, w) float32, bilinear like the authors' `spatial=True`; its mean is near
          the distance.
        """
        a, b = self.check(a, b)
        return sum(
            jax.image.resize(values, a.shape[:3], "bilinear", antialias=False)
            for values in self._maps(self.params, a, b)
        )

    @functools.cached_property
    def _maps(self):
        def maps(params, a, b):
            return lpips_maps(*self._features(params, a, b), params["heads"])

        return jax.jit(maps)

    def _features(self, params, a, b):
        variables = {"params": params["net"]}
        found = (self._net.apply(variables, images)[1] for images in (a, b))
        return [[maps[name] for name in self.layers] for maps in found]


class DISTS(PerceptualMetric):
    """DISTS at the size of the photos; make one with `load_dists`."""

    name = "dists"
    min_side = 1

    def __init__(self, network: NetworkWeights, heads: Heads, dtype=jnp.float32):
        """Make a metric of the weights of VGG16 and the coefficients."""
        self._net = VGG16(last=_VGG16_LAYERS[-1], pooling="l2", dtype=dtype)
        super().__init__(network, heads)

    def distances(self, params, a, b):
        """See `PerceptualMetric.distances`."""
        count = len(_VGG16_LAYERS) + 1
        alpha, beta = params["heads"][:count], params["heads"][count:]
        features = (self._features(params["net"], images) for images in (a, b))
        return dists(*features, alpha, beta)

    def _features(self, params, images):
        maps = self._net.apply({"params": params}, images)[1]
        images = images.astype(jnp.float32) / 255.0
        return [images, *(maps[name] for name in _VGG16_LAYERS)]


def load_lpips(
    net: str = "alex",
    weights: PathLike | None = None,
    heads: PathLike | None = None,
    *,
    dtype=jnp.float32,
    download: bool = True,
) -> LPIPS:
    """Load LPIPS version 0.1.

    Args:
      net: "alex", which the authors recommend to compare photos, or "vgg", to optimise.
      weights: file of AlexNet or VGG16, see `load_network_weights`.
      heads: file of the linear layers, see `load_lpips_heads`.
      dtype: of the network's activations, float32 or bfloat16.
      download: False to stay off the network.

    Returns:
      A callable (a, b) -> (n,) of photos (n, h, w, 3) RGB in [0, 255], with the methods
      `by_layer` and `map`.

    Raises:
      WeightsError: when a file is unavailable or of another network.
    """
    found = load_lpips_heads(net, heads, download=download)
    network = load_network_weights(_NETWORKS[net], weights, download=download)
    return LPIPS(net, network, found, dtype)


def load_dists(
    weights: PathLike | None = None,
    heads: PathLike | None = None,
    *,
    dtype=jnp.float32,
    download: bool = True,
) -> DISTS:
    """Load DISTS.

    The authors' program first shrinks photos to a short side of 256 pixels; this one
    does not.

    Args:
      weights: file of VGG16, see `load_network_weights`.
      heads: file of the coefficients, see `load_dists_heads`.
      dtype: of the network's activations, float32 or bfloat16.
      download: False to stay off the network.

    Returns:
      A callable (a, b) -> (n,) of photos (n, h, w, 3) RGB in [0, 255].

    Raises:
      WeightsError: when a file is unavailable or of another network.
    """
    found = load_dists_heads(heads, download=download)
    network = load_network_weights("vgg16", weights, download=download)
    return DISTS(network, found, dtype)


def load_metric(
    name: str, *, dtype=jnp.float32, download: bool = True
) -> PerceptualMetric:
    """Load a metric by its name, from the files that environment or cache know."""
    if name not in PERCEPTUAL_METRICS:
        raise ConfigError(
            f"a perceptual metric must be one of {', '.join(PERCEPTUAL_METRICS)}, got "
            f"{name!r}"
        )
    if name == "dists":
        return load_dists(dtype=dtype, download=download)
    return load_lpips(_LPIPS_NETS[name], dtype=dtype, download=download)


def available_metrics(
    names: Sequence[str] = DEFAULT_METRICS,
) -> tuple[list[PerceptualMetric], dict[str, WeightsError]]:
    """The metrics whose weights are on this machine.

    Args:
      names: of metrics.

    Returns:
      The metrics, and why others cannot be computed, by name.
    """
    metrics, left_out = [], {}
    for name in names:
        try:
            metrics.append(load_metric(name, download=False))
        except WeightsError as error:
            left_out[name] = error
    return metrics, left_out


def load_recorded_metrics(
    names: Sequence[str], record: Mapping[str, Any] | None, *, dtype=jnp.float32
) -> list[PerceptualMetric]:
    """Load metrics that are losses of a run.

    Args:
      names: of metrics.
      record: of the run that is resumed, with the metrics' own records by name; None,
        or without a metric, for one that begins with it.
      dtype: of the networks' activations.
    """
    metrics = [load_metric(name, dtype=dtype) for name in names]
    for metric in metrics:
        recorded = (record or {}).get(metric.name, metric.record)
        for part, facts in metric.record.items():
            if recorded[part]["sha256"] != facts["sha256"]:
                raise WeightsMismatchError(
                    f"this run began with {recorded[part]['origin']} (SHA-256 "
                    f"{recorded[part]['sha256'][:12]}…) for "
                    f"{PERCEPTUAL_METRICS[metric.name].title}, not with "
                    f"{facts['origin']} (SHA-256 {facts['sha256'][:12]}…): name the "
                    "right file"
                )
    return metrics


def metric_files(names: Sequence[str]) -> list[pathlib.Path]:
    """The files that the weights of metrics may be read from; they need not exist."""
    files = []
    for name in names:
        net = _LPIPS_NETS.get(name)
        files += head_files("lpips" if net else "dists")
        files += network_files(_NETWORKS[net] if net else "vgg16")
    return list(dict.fromkeys(files))


def compute_perceptual(
    metrics: Sequence[PerceptualMetric], predictions: jax.Array, targets: jax.Array
) -> dict[str, jax.Array]:
    """Perceptual metrics of a batch, after clipping the predictions to [0, 255].

    Args:
      metrics: to compute.
      predictions: images (n, h, w, 3), any range, any real dtype.
      targets: images of the same shape in [0, 255].

    Returns:
      (n,) float32 by name, without metrics that need larger photos.
    """
    predictions = jnp.clip(_as_float(predictions), 0.0, 255.0)
    return {
        metric.name: metric._distances(metric.params, predictions, _as_float(targets))
        for metric in metrics
        if metric.fits(*targets.shape[1:3])
    }


def _as_float(photos) -> jax.Array:
    photos = jnp.asarray(photos)
    if jnp.issubdtype(photos.dtype, jnp.floating):
        return photos
    return photos.astype(jnp.float32)
