"""Losses of a generator and a discriminator, and the rule by which one of them rests.

A discriminator gives two logits, of "real" and "fake" in this order. All losses are
means of softmax cross entropies in nats.

Source: Goodfellow et al., "Generative adversarial nets", 2014, with the generator's
loss that does not saturate; the rule and its thresholds are those of the program of
Dosovitskiy and Brox, "Generating images with perceptual similarity metrics based on
deep networks", 2016.
"""

import dataclasses

import jax
import jax.numpy as jnp

REAL, FAKE = 0, 1


def cross_entropy(logits: jax.Array, label: int) -> jax.Array:
    """Mean of -log p(label) over logits (n, 2), in nats."""
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"logits must have shape (n, 2), got {logits.shape}")
    return -jnp.mean(jax.nn.log_softmax(logits.astype(jnp.float32))[:, label])


@dataclasses.dataclass(frozen=True)
class PauseRule:
    """Who rests, by the ratio of the discriminator's losses to the generator's.

    In every step, in this order:

    1. ratio < `off` and the discriminator steps: it rests, the generator steps;
    2. ratio > `on` and the discriminator rests: both step;
    3. ratio > `generator_off` and the generator steps: it rests, the discriminator
       steps, until rule 1.

    The state is a dict of float32 scalars, which belongs into the model state: the
    means of both losses in the last step, and who stepped in it. The decision of a step
    is made from the last one, because these means are equal on all devices.

    Attributes:
      off: below it the discriminator is too good.
      on: above it the discriminator learns again.
      generator_off: above it the generator is too good.
    """

    off: float = 0.1
    on: float = 0.5
    generator_off: float = 10.0

    def __post_init__(self):
        if not 0 <= self.off <= self.on <= self.generator_off:
            raise ValueError(
                "the thresholds off, on and generator_off of the pause rule must rise "
                f"from at least 0, got {self.off}, {self.on}, {self.generator_off}"
            )

    def initial_state(self) -> dict[str, jax.Array]:
        """Both step, with a ratio of 1."""
        names = ("discriminator", "generator")
        return {
            name: jnp.float32(1.0)
            for part in names
            for name in (f"{part}_loss", f"{part}_on")
        }

    def ratio(self, state: dict[str, jax.Array]) -> jax.Array:
        """The ratio of the last step, a scalar."""
        return state["discriminator_loss"] / jnp.maximum(state["generator_loss"], 1e-9)

    def decide(self, state: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Whether discriminator and generator step now, two booleans."""
        ratio = self.ratio(state)
        discriminator = state["discriminator_on"] > 0.5
        generator = state["generator_on"] > 0.5
        rests = (ratio < self.off) & discriminator
        discriminator, generator = discriminator & ~rests, generator | rests
        returns = (ratio > self.on) & ~discriminator
        discriminator, generator = discriminator | returns, generator | returns
        loses = (ratio > self.generator_off) & generator
        return discriminator | loses, generator & ~loses

    def next_state(
        self, active: tuple[jax.Array, jax.Array], losses: tuple[jax.Array, jax.Array]
    ) -> dict[str, jax.Array]:
        """The state behind a step.

        Args:
          active: of `decide`.
          losses: of the discriminator, the sum for real and fake images, and of the
            generator, adversarial alone.
        """
        return {
            "discriminator_loss": losses[0],
            "generator_loss": losses[1],
            "discriminator_on": jnp.float32(active[0]),
            "generator_on": jnp.float32(active[1]),
        }
