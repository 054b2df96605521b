"""PhotoWCT's loop in torch with our pairs, to compare time and results with.

The computation is that of FastPhotoStyle's first stage (stylization without smoothing):
whitening and colouring at levels 4, 3, 2, 1, each of which encodes what the one before
has made and unpools with the indices of that encoding; the covariances by SVD, the
identity added to that of the content, singular values below 1e-5 dropped, nothing
clipped between the levels. Only the networks are ours: cut at blockX_conv2, zero
padding, and sides padded by reflection to what the pools divide.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import torch_ops, torch_pair
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to, size_multiple
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS
from vgg_unpool_jax.systems.unpooling.pair import Pair

_SMALLEST = 1e-5
# A region counts if it has more pixels than this on both sides, and neither has so many
# times as many as the other.
_MIN_PIXELS = 10
_MAX_RATIO = 100


class TorchPair:
    """One of our pairs in torch, with the scales of its decoder folded into kernels."""

    def __init__(self, pair: Pair):
        """Copy a pair, which must unpool and have the weights of Keras."""
        self.block = pair.block
        encoder = torch_pair.Encoder(pair.block, pair.encoder_params)
        decoder = torch_pair.Decoder(pair.block, _folded(pair))
        self._encoder, self._decoder = (
            module.to(
                torch_ops.device(), memory_format=torch.channels_last
            ).requires_grad_(False)
            for module in (encoder, decoder)
        )

    def image(self, photo: np.ndarray) -> torch.Tensor:
        """(h, w, 3) to (1, 3, h, w)."""
        image = torch.from_numpy(np.array(photo, np.float32)).permute(2, 0, 1)[None]
        image = image.to(torch_ops.device())
        return image.contiguous(memory_format=torch.channels_last)

    def encode(self, image: torch.Tensor) -> tuple[dict[int, torch.Tensor], list]:
        """Features of every level up to the block's, and the indices of the pools."""
        height, width = image.shape[2:]
        multiple = size_multiple(self.block)
        bottom, right = -height % multiple, -width % multiple
        if bottom or right:
            image = F.pad(image, (0, right, 0, bottom), mode="reflect")
        encoder = self._encoder
        x, levels, indices, previous = (image - encoder.mean).flip(1), {}, [], 1
        for layer, convolution in zip(
            encoder.layers, encoder.convolutions, strict=True
        ):
            if layer.block != previous:
                x, chosen = F.max_pool2d(x, 2, return_indices=True)
                indices.append(chosen)
                previous = layer.block
            x = F.relu(convolution(x))
            if layer.name == f"block{layer.block}_conv2":
                levels[layer.block] = x
        return levels, indices

    def decode(
        self, features: torch.Tensor, indices: list, size: Sequence[int]
    ) -> torch.Tensor:
        """(1, 3, h, w) of `size` (h, w), not clipped."""
        return self._decoder(features, indices)[:, :, : size[0], : size[1]]

    @torch.no_grad()
    def reconstruct(self, photo: np.ndarray) -> np.ndarray:
        """The reconstruction of one photo (h, w, 3), as `Pair.reconstruct`."""
        levels, indices = self.encode(self.image(photo))
        return _picture(self.decode(levels[self.block], indices, photo.shape[:2]))


def _folded(pair: Pair) -> dict[str, dict[str, np.ndarray]]:
    """Parameters of a decoder that neither normalises features nor scales outputs."""
    variables = pair.decoder_variables
    params = {
        name: {kind: np.array(array, np.float64) for kind, array in layer.items()}
        for name, layer in variables["params"].items()
    }
    layers = convolutions_up_to(pair.block)
    if pair.decoder.normalize_features:
        rms = np.asarray(variables[STATISTICS]["feature_rms"], np.float64)
        params[layers[-1].name]["kernel"] /= rms[:, None]
    for kind in ("kernel", "bias"):
        params[layers[0].name][kind] *= pair.decoder.output_scale
    return params


def _picture(image: torch.Tensor) -> np.ndarray:
    """(1, 3, h, w) to (h, w, 3) clipped to [0, 255]."""
    return image[0].clamp(0, 255).permute(1, 2, 0).contiguous().cpu().numpy()


def whiten_and_color(
    content: torch.Tensor, style: torch.Tensor, identity: float = 1.0
) -> torch.Tensor:
    """Give features of the content the mean and covariance of those of the style.

    Args:
      content: (c, n).
      style: (c, m).
      identity: factor of the identity matrix that is added to the content's
        covariance. PhotoWCT's 1 is as large as the variance of a channel of its
        normalised VGG and shrinks the result; beside the variances of 1e2 to 1e5 of
        Keras' weights it is next to nothing.

    Returns:
      (c, n).
    """
    mean = content.mean(1, keepdim=True)
    centred = content - mean
    covariance = centred @ centred.T / (content.shape[1] - 1)
    covariance += identity * torch.eye(len(covariance), device=covariance.device)
    style_mean = style.mean(1, keepdim=True)
    style_centred = style - style_mean
    style_covariance = style_centred @ style_centred.T / (style.shape[1] - 1)
    whitening = _power(covariance, -0.5)
    coloring = _power(style_covariance, 0.5)
    return coloring @ (whitening @ centred) + style_mean


def _power(covariance: torch.Tensor, exponent: float) -> torch.Tensor:
    """Of the part that belongs to singular values of at least 1e-5."""
    _, values, vectors = torch.linalg.svd(covariance)
    count = int((values >= _SMALLEST).sum())
    basis = vectors[:count]
    return basis.T @ (values[:count, None] ** exponent * basis)


def valid_labels(content: np.ndarray, style: np.ndarray) -> list[int]:
    """Labels with more than 10 pixels on both sides in a ratio between 1:100 and 100:1.

    Args:
      content: integers (h, w).
      style: integers (h', w').
    """
    found = []
    for label in np.union1d(content, style):
        ours, theirs = ((labels == label).sum() for labels in (content, style))
        if min(ours, theirs) > _MIN_PIXELS:
            if max(ours, theirs) < _MAX_RATIO * min(ours, theirs):
                found.append(int(label))
    return found


def _resized(labels: np.ndarray, size: Sequence[int]) -> torch.Tensor:
    """Nearest labels on a feature grid, flat."""
    image = torch.from_numpy(labels.astype(np.float64))[None, None]
    image = image.to(torch_ops.device())
    return F.interpolate(image, tuple(size), mode="nearest")[0, 0].reshape(-1)


class PhotoWCT:
    """The loop over pairs.

    Attributes:
      seconds: {stage: seconds} of the last call: "style", then "level 4" and so on.
    """

    def __init__(self, pairs: Sequence[Pair], *, identity: float = 1.0):
        """Copy the pairs.

        Args:
          pairs: of different blocks; 4, 3, 2, 1 for PhotoWCT's loop.
          identity: see `whiten_and_color`.
        """
        ordered = sorted(pairs, key=lambda pair: -pair.block)
        self._pairs = [TorchPair(pair) for pair in ordered]
        self._identity = identity
        self.seconds: dict[str, float] = {}

    @torch.no_grad()
    def stylize(
        self,
        content: np.ndarray,
        style: np.ndarray,
        content_labels: np.ndarray | None = None,
        style_labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """One photo in the style of another.

        Args:
          content: (h, w, 3) RGB in [0, 255].
          style: (h', w', 3) RGB in [0, 255].
          content_labels: (h, w) integers; with masks each region takes the style of the
            equal label, and regions that are not `valid_labels` keep their features.
          style_labels: (h', w') integers; both or neither.

        Returns:
          float32 (h, w, 3) clipped to [0, 255].
        """
        masks = None
        if content_labels is not None:
            labels = np.asarray(content_labels), np.asarray(style_labels)
            masks = (*labels, valid_labels(*labels))
        seconds, start = {}, time.perf_counter()
        styles, _ = self._pairs[0].encode(self._pairs[0].image(style))
        seconds["style"] = time.perf_counter() - start
        image = self._pairs[0].image(content)
        for pair in self._pairs:
            start = time.perf_counter()
            levels, indices = pair.encode(image)
            features = self._transform(levels[pair.block], styles[pair.block], masks)
            image = pair.decode(features, indices, content.shape[:2])
            seconds[f"level {pair.block}"] = time.perf_counter() - start
        self.seconds = seconds
        return _picture(image)

    def _transform(self, content, style, masks):
        """Features (1, c, h, w) with the statistics of those of the style."""
        shape = content.shape
        flat, target = (x.reshape(x.shape[1], -1) for x in (content, style))
        if masks is None:
            return whiten_and_color(flat, target, self._identity).reshape(shape)
        content_labels, style_labels, labels = masks
        ours = _resized(content_labels, shape[2:])
        theirs = _resized(style_labels, style.shape[2:])
        result = flat.clone()
        for label in labels:
            inside, source = (
                torch.nonzero(grid == label)[:, 0] for grid in (ours, theirs)
            )
            if min(len(inside), len(source)) < 2:  # of which there is no covariance
                continue
            result[:, inside] = whiten_and_color(
                flat[:, inside], target[:, source], self._identity
            )
        return result.reshape(shape)
