"""The same pair and its training step in torch."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import torch_ops
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.runtime.memory import peak_resident_bytes

_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)


@dataclasses.dataclass(frozen=True)
class Variant:
    """How torch computes.

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
    if torch_ops.device().type == "cuda":
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


class TorchProgram:
    """Torch's side of the suite `step`, in a process of its own."""

    def __init__(
        self,
        block: int,
        dtype: str,
        variant: str,
        pair: tuple,
        coefficients: Mapping[str, float],
        optimizer: Mapping[str, float],
        photos: np.ndarray,
    ):
        """Copy a pair.

        Args:
          block: 1 to 5.
          dtype: of the convolutions.
          variant: one of `variants(dtype)`.
          pair: what `OurProgram.pair` returned.
          coefficients: of the losses l1, l2, ms_ssim and perceptual.
          optimizer: section of the config.
          photos: uint8 (n, s, s, 3), the batch of every step.
        """
        encoder_params, decoder_params, self._rates = pair
        self._variant, self._photos = variants(dtype)[variant], photos
        self._encoder = self._on_device(Encoder(block, encoder_params))
        self._decoder = self._on_device(Decoder(block, decoder_params))
        self._coefficients = coefficients
        self._optimizer = torch.optim.Adam(
            self._decoder.parameters(),
            lr=0.0,
            betas=(optimizer["b1"], optimizer["b2"]),
            eps=optimizer["eps"],
        )
        self._count = 0
        compiled = self._variant.compiled
        prepare = torch.compile(dynamic=False) if compiled else lambda f: f
        self._loss = prepare(self._compute_loss)
        self._forward = prepare(self._compute_reconstruction)

    def _on_device(self, module):
        return module.to(torch_ops.device(), memory_format=self._variant.memory_format)

    def _images(self) -> torch.Tensor:
        """The photos as (n, 3, h, w) float32."""
        images = torch.from_numpy(self._photos).to(torch_ops.device())
        images = images.permute(0, 3, 1, 2).float()
        return images.contiguous(memory_format=self._variant.memory_format)

    def _precision(self):
        if not self._variant.autocast:
            return contextlib.nullcontext()
        return torch.autocast(torch_ops.device().type, torch.bfloat16)

    def _compute_reconstruction(self, images):
        with torch.no_grad(), self._precision():
            return self._decoder(*self._encoder(images)).float()

    def _compute_loss(self, images):
        with self._precision():
            with torch.no_grad():
                features, indices = self._encoder(images)
            outputs = self._decoder(features, indices)
            terms = {}
            if self._coefficients["perceptual"]:
                found = self._encoder(outputs)[0].float()
                terms["perceptual"] = F.mse_loss(found, features.float())
        # MS-SSIM squares grey levels, for which bfloat16 has too few digits.
        outputs = outputs.float()
        for name, function in torch_ops.LOSSES.items():
            if self._coefficients[name]:
                terms[name] = function(outputs, images)
        total = sum(self._coefficients[name] * term for name, term in terms.items())
        return total, terms

    def _step(self) -> dict[str, torch.Tensor]:
        self._optimizer.zero_grad(set_to_none=True)
        total, terms = self._loss(self._images())
        total.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[min(self._count, len(self._rates) - 1)]
        self._optimizer.step()
        self._count += 1
        return {"loss": total.detach()} | {k: v.detach() for k, v in terms.items()}

    def _reconstruct(self) -> torch.Tensor:
        return self._forward(self._images())

    def first_steps(self, count: int) -> list[dict[str, float]]:
        """Train; the losses and the norm of the gradient of each step."""
        steps = []
        for _ in range(count):
            found = {name: float(value) for name, value in self._step().items()}
            if "ms_ssim" in found:
                found["ms_ssim_loss"] = found.pop("ms_ssim")
            gradients = [p.grad.double() for p in self._decoder.parameters()]
            norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
            steps.append(found | {"gradient_norm": float(norm)})
        return steps

    def facts(self) -> dict[str, int]:
        """Peak memory of the process, of the GPU where there is one."""
        if torch_ops.device().type == "cuda":
            return {"peak_bytes": torch.cuda.max_memory_allocated()}
        return {"peak_bytes": peak_resident_bytes() or 0}

    def reconstruct(self) -> np.ndarray:
        """(n, s, s, 3) float32."""
        return self._reconstruct().cpu().permute(0, 2, 3, 1).numpy()

    def seconds(self, kind: str) -> float:
        """Of one call of "train" or "reconstruct"."""
        run = {"train": self._step, "reconstruct": self._reconstruct}[kind]
        began = time.perf_counter()
        torch_ops.wait(run())
        return time.perf_counter() - began
