"""What a benchmark is asked to do."""

import dataclasses
from collections.abc import Sequence

import jax

from vgg_unpool_jax.errors import ConfigError

SUITES = (
    "ops",
    "convolution",
    "losses",
    "step",
    "data",
    "reconstruct",
    "checkpoints",
    "stylize",
)
DTYPES = ("float32", "bfloat16")
LEAST_REPETITIONS = 7


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how often.

    Attributes:
      suites: any of `SUITES`.
      peers: names of the programs to compare with.
      repetitions: turns of every comparison.
      small: tiny arrays, for tests; the times then mean nothing.
      all_shapes: also those that take a CPU more than ten minutes.
      cases: a regular expression; only cases that have it in their name are measured.
      dtypes: any of `DTYPES`.
      blocks: of the pairs whose training step or checkpoint is measured.
      batch_size: of a training step; 0 is 4 on a CPU and 32 elsewhere.
      image_size: of a training step; 0 is 192 on a CPU and 256 elsewhere.
      ours: FIELD=VALUE of the config, each a further candidate of a training step.
      photos: folder with the photos of the data suite; "" is the sample photos.
    """

    suites: Sequence[str] = SUITES
    peers: Sequence[str] = ("torch", "tensorflow")
    repetitions: int = LEAST_REPETITIONS
    small: bool = False
    all_shapes: bool = False
    cases: str = ""
    dtypes: Sequence[str] = DTYPES
    blocks: Sequence[int] = (1, 3, 5)
    batch_size: int = 0
    image_size: int = 0
    ours: Sequence[str] = ()
    photos: str = ""

    def __post_init__(self):
        _require_known("--suite", self.suites, (*SUITES, "all"))
        _require_known("--dtypes", self.dtypes, DTYPES)
        _require_known("--blocks", self.blocks, (1, 2, 3, 4, 5))
        if "all" in self.suites:
            object.__setattr__(self, "suites", SUITES)
        least = 1 if self.small else LEAST_REPETITIONS
        if self.repetitions < least:
            raise ConfigError(
                f"--repetitions must be at least {least}, got {self.repetitions}"
            )

    @property
    def step_shape(self) -> tuple[int, int]:
        """(batch size, side in pixels) of a training step."""
        if self.small:
            return self.batch_size or 1, self.image_size or 32
        batch, size = (4, 192) if jax.default_backend() == "cpu" else (32, 256)
        return self.batch_size or batch, self.image_size or size


def _require_known(flag: str, values: Sequence, known: Sequence) -> None:
    if not values:
        raise ConfigError(f"{flag} names nothing; it knows {_listed(known)}")
    for value in values:
        if value not in known:
            raise ConfigError(f"{flag} knows {_listed(known)}, and got {value!r}")


def _listed(names: Sequence) -> str:
    return ", ".join(map(str, names))
