"""The same pair and its training step in torch. Imported only where it is asked for."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import torch_losses
from benchmarks.peers import torch_device
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to

_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)


@dataclasses.dataclass(frozen=True)
class Variant:
    """How torch is told to compute.

    Attributes:
      memory_format: of images, features and kernels.
      autocast: convolutions in bfloat16, by torch's own mixed precision.
      compiled: with `torch.compile`.
    """

    memory_format: torch.memory_format = torch.contiguous_format
    autocast: bool = False
    compiled: bool = False


def variants(dtype: str) -> dict[str, Variant]:
    """The variants that compute in this dtype, by the name of the candidate."""
    autocast = dtype == "bfloat16"
    found = {
        "torch": Variant(autocast=autocast),
        "torch, channels last": Variant(torch.channels_last, autocast),
    }
    if torch_device().type == "cuda":
        found["torch, channels last, compiled"] = Variant(
            torch.channels_last, autocast, compiled=True
        )
    return found


def _convolution(params: Mapping[str, np.ndarray]) -> nn.Conv2d:
    """A 3×3 convolution with a kernel in our layout, HWIO."""
    kernel = np.array(params["kernel"], np.float32)
    layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
        layer.bias.copy_(torch.from_numpy(np.array(params["bias"], np.float32)))
    return layer


class Encoder(nn.Module):
    """VGG19 up to block{block}_conv2, frozen; its preprocessing is Keras'."""

    def __init__(self, block: int, params: Mapping):
        super().__init__()
        self.layers = convolutions_up_to(block)
        self.convolutions = nn.ModuleList(
            _convolution(params[layer.name]) for layer in self.layers
        )
        mean = torch.tensor(_CAFFE_MEAN_RGB).reshape(1, 3, 1, 1)
        self.register_buffer("mean", mean)
        self.requires_grad_(False)

    def forward(self, images):
        """(n, 3, h, w) RGB in [0, 255] to features and the indices of the pools."""
        x, indices, previous = (images - self.mean).flip(1), [], 1
        for layer, convolution in zip(self.layers, self.convolutions, strict=True):
            if layer.block != previous:
                x, chosen = F.max_pool2d(x, 2, return_indices=True)
                indices.append(chosen)
                previous = layer.block
            x = F.relu(convolution(x))
        return x, indices


class Decoder(nn.Module):
    """Mirror of the encoder."""

    def __init__(self, block: int, params: Mapping):
        super().__init__()
        self.layers = convolutions_up_to(block)[::-1]
        self.convolutions = nn.ModuleList(
            _convolution(params[layer.name]) for layer in self.layers
        )

    def forward(self, features, indices):
        """Features and indices to (n, 3, h, w) images, not clipped."""
        x, previous = features, self.layers[0].block
        for layer, convolution in zip(self.layers, self.convolutions, strict=True):
            if layer.block != previous:
                x = F.max_unpool2d(x, indices[layer.block - 1], 2)
                previous = layer.block
            x = convolution(x)
            if layer is not self.layers[-1]:
                x = F.relu(x)
        return x


class Training:
    """A pair in training: `step` and `reconstruct` take uint8 NHWC photos."""

    def __init__(
        self,
        block: int,
        encoder_params: Mapping,
        decoder_params: Mapping,
        loss_weights: Mapping[str, float],
        learning_rate: Callable[[int], float],
        optimizer: Mapping[str, float],
        variant: Variant,
    ):
        """Copy a pair.

        Args:
          block: 1 to 5.
          encoder_params: ours.
          decoder_params: ours.
          loss_weights: factors of l1, l2, ms_ssim and perceptual.
          learning_rate: step -> learning rate.
          optimizer: b1, b2 and eps of Adam.
          variant: how to compute.
        """
        self._device, self._variant = torch_device(), variant
        self._encoder = self._place(Encoder(block, encoder_params))
        self._decoder = self._place(Decoder(block, decoder_params))
        self._weights, self._learning_rate = loss_weights, learning_rate
        self._optimizer = torch.optim.Adam(
            self._decoder.parameters(),
            lr=0.0,
            betas=(optimizer["b1"], optimizer["b2"]),
            eps=optimizer["eps"],
        )
        self._count = 0
        prepare = torch.compile(dynamic=False) if variant.compiled else lambda f: f
        self._loss = prepare(self._compute_loss)
        self._forward = prepare(self._compute_reconstruction)

    def _place(self, module):
        return module.to(self._device, memory_format=self._variant.memory_format)

    def images(self, photos: np.ndarray) -> torch.Tensor:
        """uint8 (n, h, w, 3) photos as this variant wants them."""
        images = torch.from_numpy(photos).to(self._device).permute(0, 3, 1, 2).float()
        return images.contiguous(memory_format=self._variant.memory_format)

    def _precision(self):
        if not self._variant.autocast:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def _compute_reconstruction(self, images):
        with torch.no_grad(), self._precision():
            return self._decoder(*self._encoder(images)).float()

    def _compute_loss(self, images):
        with self._precision():
            with torch.no_grad():
                features, indices = self._encoder(images)
            outputs = self._decoder(features, indices)
            terms = {}
            if self._weights["perceptual"]:
                terms["perceptual"] = self._perceptual(outputs, features)
        # MS-SSIM squares grey levels: in bfloat16 nothing would be left of it.
        outputs = outputs.float()
        for name, function in torch_losses.LOSSES.items():
            if self._weights[name]:
                terms[name] = function(outputs, images)
        total = sum(self._weights[name] * term for name, term in terms.items())
        return total, terms

    def _perceptual(self, outputs, features):
        return F.mse_loss(self._encoder(outputs)[0].float(), features.float())

    def step(self, photos: np.ndarray) -> dict[str, torch.Tensor]:
        """One training step on a batch; returns the loss and its terms."""
        self._optimizer.zero_grad(set_to_none=True)
        total, terms = self._loss(self.images(photos))
        total.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self._count)
        self._optimizer.step()
        self._count += 1
        return {"loss": total.detach()} | {k: v.detach() for k, v in terms.items()}

    def gradient_norm(self) -> float:
        """Norm of the gradient of the last step."""
        squares = [p.grad.double().square().sum() for p in self._decoder.parameters()]
        return float(torch.stack(squares).sum().sqrt())

    def reconstruct(self, photos: np.ndarray) -> torch.Tensor:
        """(n, 3, h, w) reconstructions of a batch."""
        return self._forward(self.images(photos))
