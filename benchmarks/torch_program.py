"""The torch pair in a process of its own; see `elsewhere.py`."""

import time

import numpy as np
import torch

from benchmarks import torch_pair
from benchmarks.peers import torch_device, torch_wait
from vgg_unpool_jax.runtime.memory import peak_resident_bytes


class TorchProgram:
    """What the suite `step` asks of every program, in torch."""

    def __init__(
        self,
        block: int,
        dtype: str,
        variant: str,
        pair: tuple,
        losses: dict,
        optimizer: dict,
        photos: np.ndarray,
    ):
        """Copy a pair.

        Args:
          block: 1 to 5.
          dtype: of the convolutions.
          variant: one of `torch_pair.variants(dtype)`.
          pair: what `OurProgram.pair` gave.
          losses: factors of the losses.
          optimizer: section of the config.
          photos: uint8 (n, s, s, 3).
        """
        encoder, decoder, rates = pair
        self._photos = photos
        self._training = torch_pair.Training(
            block,
            encoder,
            decoder,
            losses,
            lambda step: rates[min(step, len(rates) - 1)],
            optimizer,
            torch_pair.variants(dtype)[variant],
        )

    def first_steps(self, count: int) -> list[dict[str, float]]:
        """Train; the losses and the norm of the gradient of each step."""
        steps = []
        for _ in range(count):
            found = self._training.step(self._photos)
            found = {name: float(value) for name, value in found.items()}
            if "ms_ssim" in found:
                found["ms_ssim_loss"] = found.pop("ms_ssim")
            steps.append(found | {"gradient_norm": self._training.gradient_norm()})
        return steps

    def peak_bytes(self) -> int:
        """Memory that the process has taken at most, of the GPU where there is one."""
        if torch_device().type == "cuda":
            return torch.cuda.max_memory_allocated()
        return peak_resident_bytes() or 0

    def reconstruct(self) -> np.ndarray:
        """(n, s, s, 3) float32."""
        images = self._training.reconstruct(self._photos)
        return images.cpu().permute(0, 2, 3, 1).numpy()

    def seconds(self, kind: str) -> float:
        """Of one call of "train" or "reconstruct"."""
        run = {"train": self._training.step, "reconstruct": self._training.reconstruct}
        began = time.perf_counter()
        torch_wait(run[kind](self._photos))
        return time.perf_counter() - began
