"""How far the features and switches of two encoders are apart."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


class EncoderAgreement:
    """Compares two encoders over photos, batch by batch.

    Attributes:
      feature_errors: for each photo |a - b| / |a|, the norms over all features.
      switch_agreements: for each photo and pool, from the first, the share of equal
        switches.
    """

    def __init__(self, encode_a: Callable, encode_b: Callable):
        """Compare two functions, images -> (features, switches), as `Encoder.encode`.

        Args:
          encode_a: the encoder whose features are the measure.
          encode_b: the other.
        """
        self._encode = encode_a, encode_b
        self.feature_errors: list[float] = []
        self.switch_agreements: list[list[float]] = []

    def observe(self, batch: Mapping[str, Any], _reconstructions: Any) -> None:
        """Take in a batch of `evaluate_reconstruction`: "image" (n, h, w, 3)."""
        (a, switches_a), (b, switches_b) = (
            jax.device_get(encode(batch["image"])) for encode in self._encode
        )
        axes = tuple(range(1, a.ndim))
        norms = np.sqrt(np.sum(np.square(a, dtype=np.float64), axes))
        apart = np.sqrt(np.sum(np.square(a - b, dtype=np.float64), axes))
        self.feature_errors += (apart / norms).tolist()
        equal = [
            np.mean(one == other, axes)
            for one, other in zip(switches_a, switches_b, strict=True)
        ]
        self.switch_agreements += np.stack(equal, axis=-1).tolist() if equal else []

    def report(self) -> str:
        """One line, means over photos."""
        parts = [f"features differ by {np.mean(self.feature_errors):.2%}"]
        if self.switch_agreements:
            shares = np.mean(self.switch_agreements, axis=0)
            parts += [
                f"switches of pool{number} agree to {share:.2%}"
                for number, share in enumerate(shares, start=1)
                if share < 1
            ]
        return ", ".join(parts)
