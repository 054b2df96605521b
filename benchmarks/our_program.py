"""Our pair in a process of its own; see `elsewhere.py`."""

import time

import jax
import ml_collections
import numpy as np

from benchmarks.our_pair import OurTraining
from vgg_unpool_jax.runtime.cpu_devices import device_per_core
from vgg_unpool_jax.runtime.memory import peak_memory
from vgg_unpool_jax.training.parallel import check_batch_size


class OurProgram:
    """What the suite `step` asks of every program, in jax."""

    def __init__(self, config: dict, photos: np.ndarray):
        """Build a pair for a batch of uint8 (n, s, s, 3) photos."""
        config = ml_collections.ConfigDict(config)
        if config.get("device_per_core", False):  # as `experiments/train.py` does it
            device_per_core(len(photos))
        check_batch_size("--batch_size", len(photos))
        self._training = OurTraining(config, photos)

    def pair(self, rates: int):
        """(encoder parameters, decoder parameters, the first learning rates)."""
        training = self._training
        learning_rates = [float(training.learning_rate(step)) for step in range(rates)]
        encoder = jax.device_get(training.objective.frozen["encoder"])
        return encoder, training.params, learning_rates

    def first_steps(self, count: int) -> list[dict[str, float]]:
        """Train; the losses and norms of each step."""
        return [
            {name: float(value) for name, value in self._training.step().items()}
            for _ in range(count)
        ]

    def compile_seconds(self) -> float:
        """Of the first step, the step included."""
        return self._training.compile_seconds

    def peak_bytes(self) -> int:
        """Memory that the process has taken at most, of the device where it tells."""
        peaks = peak_memory()
        return peaks.get("device", peaks.get("host", 0))

    def reconstruct(self) -> np.ndarray:
        """(n, s, s, 3) float32."""
        return np.asarray(self._training.reconstruct())

    def seconds(self, kind: str) -> float:
        """Of one call of "train" or "reconstruct"."""
        run = {"train": self._training.step, "reconstruct": self._training.reconstruct}
        began = time.perf_counter()
        jax.block_until_ready(run[kind]())
        return time.perf_counter() - began
