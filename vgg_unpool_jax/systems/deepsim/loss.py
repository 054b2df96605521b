"""The DeePSiM loss: image, feature and adversarial terms with their coefficients.

    loss = a · image + b · L1 + c · feature + d · adversarial

| term | of a photo |
|---|---|
| image | mean squared difference, grey levels² |
| l1 | mean absolute difference, grey levels |
| feature | mean squared difference of the comparator's features / their mean square |
| adversarial | -log p(real), nats |

The published coefficients are of Caffe's sums: 2e-6 · Σ/(2N) of the squared differences
of 227×227×3 grey levels, 0.01 · Σ/(2N) of the 9,216 numbers of CaffeNet's pool5, 100 of
the adversarial term. Divided by 100, which Adam does not notice, they are of means:

| term | published | here |
|---|---|---|
| image | 2e-6 · 154,587 / 2 / 100 | 1.55e-3 |
| feature | 0.01 · 9,216 / 2 / 100 · r² | 0.461 r² |
| adversarial | 100 / 100 | 1 |

r is the root mean square of the features, by which ours are divided. CaffeNet's is not
known here; 4, which is r = 3, is the default of the configs. With means, images of all
sizes have the balance of 227 pixels.

Networks with strides see a fixed grid of positions, which shows in images as a pattern
of the same period. With `shift` the comparator sees a photo and its image moved by the
same random number of pixels, anew in each training step (ours, not published).

The root mean square of the comparator's layer is measured on the first batch and kept
in the model state, with the state of the pause rule (`losses/adversarial.py`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.losses import l1, l2
from vgg_unpool_jax.losses.adversarial import FAKE, REAL, PauseRule, cross_entropy
from vgg_unpool_jax.pretrained.feature_layers import FeatureLayer
from vgg_unpool_jax.systems.deepsim.models import Discriminator
from vgg_unpool_jax.training.system import PyTree

# The part of the parameters that this loss adds, and its entry in the model state.
DISCRIMINATOR = "discriminator"
STATE = "deepsim"
_LARGEST_LOGGED = 100.0


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """Coefficients of the terms; networks of those with coefficient 0 do not run."""

    image: float
    l1: float
    feature: float
    adversarial: float

    def __post_init__(self):
        values = dataclasses.astuple(self)
        if min(values) < 0 or not max(values[:3]) > 0:
            raise ConfigError(
                "loss coefficients must not be negative, and one of image, l1 and "
                f"feature must be positive, got {self}"
            )


class Compared(NamedTuple):
    """What the loss says about images.

    Attributes:
      loss: of the generator.
      discriminator_loss: None without adversarial term.
      terms: scalars for the log.
      state: new model state under `STATE`.
      active: whether discriminator and generator step; None without adversarial term.
    """

    loss: jax.Array
    discriminator_loss: jax.Array | None
    terms: dict[str, jax.Array]
    state: PyTree
    active: tuple[jax.Array, jax.Array] | None


class DeePSiM:
    """The loss of any generator of images; an objective keeps its part and its state.

    Attributes:
      coefficients: of the terms.
      comparator: layer that compares images; None without feature term.
      shift: number of positions in each direction from which it sees them in training.
      discriminator: None without adversarial term.
    """

    def __init__(
        self,
        coefficients: Coefficients,
        comparator: FeatureLayer | None = None,
        discriminator: Discriminator | None = None,
        pause: PauseRule = PauseRule(),  # noqa: B008, it is frozen
        shift: int = 1,
    ):
        """Put the parts together."""
        if shift < 1:
            raise ConfigError(f"comparator.shift must be at least 1, got {shift}")
        self.shift = shift
        self.coefficients = coefficients
        self.comparator, self._pause = comparator, pause
        self.discriminator = discriminator if coefficients.adversarial else None
        if coefficients.feature and comparator is None:
            raise ConfigError("loss.feature needs a comparator: name its network")

    def init(
        self, key: jax.Array, frozen: Mapping[str, Any], images: jax.Array
    ) -> tuple[dict[str, PyTree], PyTree]:
        """Parameters to add to those of the model, and the model state of `STATE`.

        Args:
          key: of the discriminator's parameters.
          frozen: network -> parameters.
          images: a first batch (n, h, w, 3) in [0, 255].
        """
        params, state = {}, {}
        if self.coefficients.feature:
            rms = jax.jit(
                lambda *args: jnp.sqrt(jnp.mean(jnp.square(self.features(*args))))
            )(frozen, images)
            state["comparator_rms"] = jnp.maximum(rms, 1e-6)
        if self.discriminator is not None:
            init = jax.jit(self.discriminator.init)
            params[DISCRIMINATOR] = init(key, images)["params"]
            state |= self._pause.initial_state()
        return params, state

    def features(self, frozen: Mapping[str, Any], images: jax.Array) -> jax.Array:
        """The comparator's features of images."""
        return self.comparator.apply(frozen[self.comparator.network], images)

    def __call__(
        self,
        params: Mapping[str, PyTree],
        state: Mapping[str, Any],
        frozen: Mapping[str, Any],
        outputs: jax.Array,
        targets: jax.Array,
        keys: jax.Array | None,
    ) -> Compared:
        """Compare images.

        Args:
          params: of the model, with the part `DISCRIMINATOR`.
          state: of `STATE`.
          frozen: network -> parameters.
          outputs: of the generator, (n, h, w, 3) on the scale of [0, 255].
          targets: the same shape, in [0, 255].
          keys: (n,), for dropout and shift; None in evaluation.
        """
        c, state = self.coefficients, dict(state)
        terms = {"image": l2(outputs, targets), "l1": l1(outputs, targets)}
        loss = c.image * terms["image"] + c.l1 * terms["l1"]
        if c.feature:
            seen = outputs, targets
            if keys is not None:
                draws = jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys)
                multiple = self.comparator.multiple
                seen = random_shift(draws, seen, self.shift, multiple)
            found, wanted = (self.features(frozen, x) for x in seen)
            scale = 1.0 / state["comparator_rms"]
            terms["feature"] = l2(found * scale, wanted * scale)
            loss += c.feature * terms["feature"]
        if self.discriminator is None:
            return Compared(loss, None, terms, state, None)
        variables = {"params": params[DISCRIMINATOR]}
        draws = (None, None)
        if keys is not None:
            draws = jnp.moveaxis(
                jax.vmap(lambda key: jax.random.split(key))(keys), 1, 0
            )
        fake, real = (
            self.discriminator.apply(variables, images, key)
            for images, key in zip((outputs, targets), draws, strict=True)
        )
        terms["adversarial"] = cross_entropy(fake, REAL)
        loss += c.adversarial * terms["adversarial"]
        terms["discriminator_fake"] = cross_entropy(fake, FAKE)
        terms["discriminator_real"] = cross_entropy(real, REAL)
        total = terms["discriminator_fake"] + terms["discriminator_real"]
        active = self._pause.decide(state)
        # Capped, because the log has means of heavy tails.
        terms["ratio"] = jnp.minimum(self._pause.ratio(state), _LARGEST_LOGGED)
        for name, flag in zip(
            ("discriminator_on", "generator_on"), active, strict=True
        ):
            terms[name] = jnp.float32(flag)
        if keys is not None:
            losses = total, terms["adversarial"]
            state |= self._pause.next_state(active, losses)
        return Compared(loss, total, terms, state, active)


def random_shift(
    keys: jax.Array, batches: Sequence[jax.Array], count: int, multiple: int = 1
) -> list[jax.Array]:
    """Move images by random numbers of pixels, those of all batches alike.

    Args:
      keys: (n,), of the draw of each photo.
      batches: arrays (n, h, w, c).
      count: positions in each direction; 1 is only where they are.
      multiple: what the sides grow by is a multiple of this.

    Returns:
      Arrays (n, h + m, w + m, c), where m is count - 1 or the next multiple; what the
      images do not cover repeats their border.
    """
    if count == 1:
        return list(batches)
    margin = -(-(count - 1) // multiple) * multiple
    border = [(margin, margin)] * 2 + [(0, 0)]

    def move(key, *images):
        up, left = jax.random.randint(key, (2,), 0, count)
        moved = []
        for image in images:
            height, width, channels = image.shape
            size = height + margin, width + margin, channels
            padded = jnp.pad(image, border, mode="edge")
            moved.append(jax.lax.dynamic_slice(padded, (up, left, 0), size))
        return moved

    return jax.vmap(move)(keys, *batches)


def comparator_of(config: ml_collections.ConfigDict) -> list[FeatureLayer]:
    """The layer of a config's section comparator, if it names one."""
    if not config.comparator.network:
        return []
    return [FeatureLayer(config.comparator.network, config.comparator.layer)]


def make_loss(
    config: ml_collections.ConfigDict, comparator: FeatureLayer | None
) -> DeePSiM:
    """The loss of a config.

    Args:
      config: of a run; its section loss has the coefficients, `pause_off`, `pause_on`,
        `pause_generator_off` and `discriminator_width`.
      comparator: with the preprocessing of its weights.
    """
    fields = {field.name for field in dataclasses.fields(Coefficients)}
    coefficients = Coefficients(**{name: config.loss[name] for name in fields})
    try:
        pause = PauseRule(
            config.loss.pause_off, config.loss.pause_on, config.loss.pause_generator_off
        )
    except ValueError as error:
        raise ConfigError(f"the section loss cannot be used: {error}") from error
    width = config.loss.discriminator_width
    shift = config.comparator.get("shift", 1)  # which older runs lack
    return DeePSiM(coefficients, comparator, Discriminator(width), pause, shift)
