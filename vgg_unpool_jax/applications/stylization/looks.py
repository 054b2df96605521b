"""Settings of style transfer that belong together, by name."""

import dataclasses
import types
from collections.abc import Mapping, Sequence

from vgg_unpool_jax.errors import ConfigError

# Limit of the slopes of the closing step's curves, see `color_transport`.
SLOPE = 1.6


@dataclasses.dataclass(frozen=True)
class Look:
    """Settings of style transfer that belong together.

    Attributes:
      transform: of features, one of `stylization.options.TRANSFORMS`.
      strengths: block -> share of the style that its features take.
      radius: of the smoothing, as a share of the longer side.
      sigma: of the smoothing, in grey levels.
      rounds: of the closing step; 0 leaves it out.
      slope: limit of the closing step's slopes, see `color_transport`.
    """

    transform: str
    strengths: Mapping[int, float]
    radius: float
    sigma: float
    rounds: int
    slope: float = SLOPE

    def strengths_at(
        self, blocks: Sequence[int], factors: Mapping[int, float] | None = None
    ) -> dict[int, float]:
        """Strengths at these blocks, times the user's factors."""
        factors = dict(factors or {})
        known = {block: self.strengths.get(block, 1.0) for block in blocks}
        return factors | {b: known[b] * factors.get(b, 1.0) for b in known}


LOOKS: Mapping[str, Look] = types.MappingProxyType(
    {
        "faithful": Look("ot", {4: 0.5, 3: 0.5, 2: 0.5, 1: 0.5}, 0.08, 30.0, 1),
        "balanced": Look("ot", {4: 0.5, 3: 0.5, 2: 1.0, 1: 1.0}, 0.05, 30.0, 2),
        "strong": Look("ot", {4: 1.0, 3: 1.0, 2: 1.0, 1: 1.0}, 0.012, 15.0, 2),
    }
)


DEFAULT_LOOK = "balanced"


def find_look(name: str) -> Look:
    """The look of a name."""
    if name not in LOOKS:
        raise ConfigError(f"look must be one of {', '.join(LOOKS)}, got {name!r}")
    return LOOKS[name]
