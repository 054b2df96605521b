"""Train a variational autoencoder: the published pair of losses, or an ELBO.

With B the size of the whole batch, e(x) = ½ Σ (x - x')² over the values of a photo on
the scale of [-1, 1] and KL(x) the divergence of q(z|x) from N(0, I):

| loss | of the encoder | of the decoder |
|---|---|---|
| `published` | Σ KL / B + Σ e | λ Σ e |
| `beta` | mean of β KL - log p(x given z) | the same |
| `deepsim` | mean of β KL + DeePSiM(x, x') | the same |

With `deepsim` a third part, the discriminator, has a loss of its own; see
`systems/deepsim/loss.py`. Its β is of another scale: with the image term alone it would
be the ELBO of a Gaussian of variance β · values / (2 · 127.5² · `loss.image`).

Both gradients are taken at the same parameters, from one forward pass. (The published
program steps the encoder first and reuses the old graph, which torch refuses since
version 1.5.) Up to a constant the published encoder loss is the negative ELBO of a
Gaussian p(x|z) with standard deviation 1/√B, so both losses are compared by the ELBO.
(With `mean_kl=False`, the summed KL, it is B times that of standard deviation 1.)

Source: MariaPdg/image-autoencoding, README (its later code gives the encoder no
reconstruction gradient); Higgins et al., "beta-VAE", 2017; Kingma et al. 2016 for free
bits; Rybkin et al., "Simple and effective VAE training with calibrated decoders", 2021,
for a learned standard deviation.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.losses.latent import (
    gaussian_log_likelihood,
    half_squared_error,
    kl_to_standard_normal,
    with_free_bits,
)
from vgg_unpool_jax.pretrained.feature_layers import frozen_params, load_layers
from vgg_unpool_jax.pretrained.recorded import weights_record
from vgg_unpool_jax.systems.deepsim.loss import (
    DISCRIMINATOR,
    STATE,
    DeePSiM,
    comparator_of,
    make_loss,
)
from vgg_unpool_jax.systems.vae.model import HALF_RANGE, VAE, check_sizes
from vgg_unpool_jax.training.system import ALL, Aux, PyTree

# Outputs besides the images: parameters of q(z|x), (n, latent_size) each, and half the
# squared error of the image decoded from a sampled code, (n,).
MEAN, LOG_VARIANCE, ERROR = "mean", "log_variance", "half_squared_error"
LOG_STD = "log_std"  # of p(x|z), (n,)


@dataclasses.dataclass(frozen=True)
class PublishedLoss:
    """The published losses of encoder and decoder.

    Attributes:
      lambda_mse: factor λ of the decoder's loss.
      mean_kl: KL of the batch divided by B, as published; False sums over the batch.
      batch_size: B.
    """

    lambda_mse: float
    mean_kl: bool
    batch_size: int

    def __post_init__(self):
        _require("loss.lambda_mse", self.lambda_mse, self.lambda_mse > 0, "positive")

    def __call__(self, error, kl, log_likelihood, step):
        """Losses by part, and terms; see `BetaLoss.__call__`."""
        del log_likelihood, step
        # Written as B times means over photos, so that the mean over devices, which
        # have a share of the batch each, gives the sums over the whole batch.
        kl_sum = jnp.mean(jnp.sum(kl, axis=1)) * (
            1 if self.mean_kl else self.batch_size
        )
        error_sum = self.batch_size * jnp.mean(error)
        losses = {
            "encoder": kl_sum + error_sum,
            "decoder": self.lambda_mse * error_sum,
        }
        return losses, {}


@dataclasses.dataclass(frozen=True)
class BetaLoss:
    """The negative evidence lower bound, with its usual options.

    Attributes:
      beta: factor of the KL; 1 is the ELBO.
      kl_warmup_steps: number of steps in which β rises linearly from 0; 0 for none.
      free_bits: KL in nats per dimension that costs nothing.
    """

    beta: float
    kl_warmup_steps: int
    free_bits: float

    def __post_init__(self):
        _require("loss.beta", self.beta, self.beta >= 0, "at least 0")
        steps = self.kl_warmup_steps
        _require("loss.kl_warmup_steps", steps, steps >= 0, "at least 0")
        _require("loss.free_bits", self.free_bits, self.free_bits >= 0, "at least 0")

    def __call__(self, error, kl, log_likelihood, step):
        """Losses by part, and terms.

        Args:
          error: (n,) half squared errors.
          kl: (n, latent_size) in nats.
          log_likelihood: (n,) log p(x|z) in nats.
          step: number of finished steps in training; None in evaluation, which uses
            neither warm-up nor free bits.
        """
        del error
        if step is None:
            loss = jnp.mean(self.beta * jnp.sum(kl, axis=1) - log_likelihood)
            return {ALL: loss}, {}
        beta = jnp.float32(self.beta)
        if self.kl_warmup_steps:
            beta *= jnp.minimum(1.0, jnp.float32(step) / self.kl_warmup_steps)
        cost = with_free_bits(kl, self.free_bits)
        return {ALL: beta * cost - jnp.mean(log_likelihood)}, {"beta": beta}


_LOSSES = {"beta": BetaLoss, "published": PublishedLoss}
# Names in older configs.
_OLD_NAMES = {"seed": "published"}


class VAEObjective:
    """The objective of a VAE; see `training/system.Objective`."""

    def __init__(
        self,
        model: VAE,
        loss: PublishedLoss | BetaLoss,
        deepsim: DeePSiM | None = None,
        frozen: PyTree = None,
        record: Mapping[str, Any] | None = None,
    ):
        """Put model and loss together.

        Args:
          model: the VAE.
          loss: of its codes and reconstructions.
          deepsim: what replaces the likelihood in training, if anything.
          frozen: network -> parameters, for `deepsim`.
          record: network -> facts about its weights.
        """
        self.model, self._loss, self._deepsim = model, loss, deepsim
        self.frozen: PyTree = frozen or {}
        self.record: Mapping[str, Any] = record or {}

    def init(self, key: jax.Array, batch: Mapping[str, jax.Array]):
        """Initialise encoder and decoder."""
        # Jitted, because hundreds of operations would otherwise be compiled one by one.
        variables = jax.jit(self.model.init)(key, batch["image"])
        params, state = dict(variables["params"]), dict(variables)
        del state["params"]
        if self._deepsim is not None:
            images = batch["image"]
            key = jax.random.fold_in(key, 1)
            added, state[STATE] = self._deepsim.init(key, self.frozen, images)
            params |= added
        return params, state

    def losses(
        self,
        params: PyTree,
        model_state: PyTree,
        batch: Mapping[str, jax.Array],
        keys: jax.Array,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Aux]:
        """Losses over a batch of images in [0, 255].

        In evaluation "output" is decoded from the mean of q(z|x); the ELBO uses a
        sampled code, as in its definition.
        """
        images = batch["image"]
        size = (self.model.latent_size,)
        noise = jax.vmap(lambda key: jax.random.normal(key, size, jnp.float32))(keys)
        networks = {name: params[name] for name in ("encoder", "decoder")}
        variables = {"params": networks, "batch_stats": model_state["batch_stats"]}
        (drawn, latent), updated = self.model.apply(
            variables, images, noise, train, mutable=["batch_stats"]
        )
        outputs = drawn
        if not train:
            outputs = self.model.apply(variables, latent[MEAN], method="decode")
        kl = kl_to_standard_normal(latent[MEAN], latent[LOG_VARIANCE])
        error = half_squared_error(drawn / HALF_RANGE, images / HALF_RANGE)
        values = images[0].size
        log_likelihood = gaussian_log_likelihood(error, latent["log_std"], values)
        step = batch["step"] if train else None
        losses, terms = self._loss(error, kl, log_likelihood, step)
        terms |= {
            "half_squared_error": jnp.mean(error),
            "kl": jnp.mean(jnp.sum(kl, axis=1)),
            "elbo": jnp.mean(log_likelihood - jnp.sum(kl, axis=1)),
        }
        if self.model.learn_decoder_std:
            terms["decoder_std"] = jnp.exp(latent["log_std"])
        updated, active = dict(updated), {}
        if self._deepsim is not None:
            draws = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
            compared = self._deepsim(
                params,
                model_state[STATE],
                model_state["frozen"],
                drawn,
                images,
                draws if train else None,
            )
            cost = self._loss.beta * terms["kl"]
            losses = dict.fromkeys(networks, compared.loss + cost)
            terms |= compared.terms
            updated[STATE] = compared.state
            if compared.active is not None:
                losses[DISCRIMINATOR] = compared.discriminator_loss
                active = dict.fromkeys(networks, compared.active[1])
                active[DISCRIMINATOR] = compared.active[0]
        pictures = {INPUT: images, OUTPUT: outputs, TARGET: images}
        posterior = {name: latent[name] for name in (MEAN, LOG_VARIANCE)}
        log_std = jnp.broadcast_to(latent["log_std"], error.shape)
        outputs = {**pictures, **posterior, ERROR: error, LOG_STD: log_std}
        return losses, Aux(terms, updated, outputs, active)


def from_config(
    config: ml_collections.ConfigDict, record: Mapping[str, Any] | None = None
) -> VAEObjective:
    """Build the objective of a config with sections model, loss and data."""
    fields = config.loss.to_dict()
    name = fields.pop("name")
    name = _OLD_NAMES.get(name, name)
    if name in ("published", "deepsim") and config.model.learn_decoder_std:
        raise ConfigError(
            f"model.learn_decoder_std must be False with loss.name {name!r}: it has "
            "no standard deviation to learn"
        )
    if name == "deepsim":
        layers, weights = load_layers(comparator_of(config), config.weights, record)
        return VAEObjective(
            make_model(config),
            BetaLoss(fields["beta"], 0, 0.0),
            make_loss(config, layers[0] if layers else None),
            frozen_params(weights),
            {network: weights_record(found) for network, found in weights.items()},
        )
    if name not in _LOSSES:
        raise ConfigError(
            f"loss.name must be 'beta', 'published' or 'deepsim', got {name!r}"
        )
    if name == "published":
        fields["batch_size"] = config.data.batch_size
    wanted = {field.name for field in dataclasses.fields(_LOSSES[name])}
    if set(fields) != wanted:
        listed, found = (", ".join(sorted(names)) for names in (wanted, fields))
        raise ConfigError(
            f"loss.name {name!r} goes with the fields {listed}, this config has "
            f"{found}: take the variant with that loss"
        )
    return VAEObjective(make_model(config), _LOSSES[name](**fields))


def make_model(config: ml_collections.ConfigDict) -> VAE:
    """The module of a config."""
    fields = config.model.to_dict()
    std, momentum = fields["decoder_std"], fields["batch_norm_momentum"]
    _require("model.decoder_std", std, 0 < std < math.inf, "positive and finite")
    _require("model.batch_norm_momentum", momentum, 0 <= momentum < 1, "in [0, 1)")
    # ConfigDict gives lists; a module's attributes are hashed.
    for field in ("encoder_channels", "decoder_channels"):
        fields[field] = tuple(fields[field])
        smallest = min(fields[field], default=1)
        _require(f"model.{field}", fields[field], smallest >= 1, "positive numbers")
    for field in ("latent_size", "hidden_size"):
        _require(f"model.{field}", fields[field], fields[field] >= 1, "at least 1")
    sizes = (fields["encoder_channels"], fields["decoder_channels"])
    try:
        check_sizes(fields["image_size"], *sizes)
    except ValueError as error:
        raise ConfigError(f"the section model cannot be used: {error}") from error
    return VAE(**fields)


def _require(field, value, holds, wanted) -> None:
    if not holds:
        raise ConfigError(f"{field} must be {wanted}, got {value}")
