"""LPIPS and DISTS in the losses of restorers and codecs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.codec import faces
from configs.restoration import photos
from vgg_unpool_jax.errors import ConfigError, WeightsUnavailableError
from vgg_unpool_jax.evaluation.perceptual import LPIPS
from vgg_unpool_jax.ops.photo_range import any_range
from vgg_unpool_jax.pretrained.metric_heads import LPIPS_CHANNELS, Heads
from vgg_unpool_jax.pretrained.networks import random_network_weights
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.systems.codec.objective import (
    CodecObjective,
    RateDistortion,
    make_model,
)
from vgg_unpool_jax.systems.perceptual_terms import PerceptualTerms, load_terms
from vgg_unpool_jax.systems.restoration.objective import RestorationObjective

_COEFFICIENT = 40.0


@pytest.fixture(scope="module")
def metric():
    """LPIPS with weights that nobody has trained."""
    channels, rng = LPIPS_CHANNELS["alex"], np.random.default_rng(0)
    arrays = tuple(rng.uniform(size=c).astype(np.float32) for c in channels)
    return LPIPS("alex", random_network_weights("alexnet"), Heads(arrays, "h", "0"))


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)), "f4")


class _Brighter:
    """A restorer that adds 51, 0.4 on [-1, 1], to every value."""

    def apply(self, variables, images, *arguments, mutable, **options):
        return images + 51.0, {}


def test_a_restorer_adds_the_mean_distance(metric, images):
    terms = PerceptualTerms({"lpips": _COEFFICIENT}, [metric])
    objective = RestorationObjective(_Brighter(), "mse", 0.0, terms)
    batch, state = {"image": images, "input": images}, {"frozen": objective.frozen}
    losses, aux = objective.losses({}, state, batch, None, False)
    with any_range():
        wanted = float(metric(images + 51.0, images).mean())
    assert wanted > 1e-3 and objective.record == {"lpips": metric.record}
    np.testing.assert_allclose(aux.terms["lpips"], wanted, rtol=1e-4)
    np.testing.assert_allclose(losses["all"], 0.16 + _COEFFICIENT * wanted, rtol=1e-4)


@pytest.mark.extended
def test_a_codec_weighs_it_with_the_quality(metric, images):
    config = faces.get_config("runlocal")
    loss = RateDistortion(tuple(config.loss.lambdas), 0)
    terms = PerceptualTerms({"lpips": _COEFFICIENT}, [metric])
    objective = CodecObjective(make_model(config), loss, terms)
    params, state = objective.init(jax.random.key(0), {"image": images})
    state = {**state, "frozen": objective.frozen}
    compute = jax.jit(objective.losses, static_argnums=4)
    losses, aux = compute(params, state, {"image": images}, None, False)
    outputs, lambdas = aux.outputs, np.array(loss.lambdas)
    plain = outputs["bits_per_pixel"] + lambdas * outputs["squared_error"]
    added = float(losses["all"] - plain.mean()) / _COEFFICIENT
    distance = float(aux.terms["lpips"])
    assert distance > 1e-3
    assert lambdas[0] * distance < added < lambdas[-1] * distance


def test_a_config_names_metrics_and_older_ones_lack_them(monkeypatch):
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for make in (photos.get_config, faces.get_config):
        config = make("runlocal")
        config.loss.dists = 2.0
        with pytest.raises(WeightsUnavailableError, match="DISTS_WEIGHTS"):
            make_objective(config)
        for name in ("lpips", "lpips_vgg", "dists"):
            del config.loss[name]
        assert make_objective(config).frozen == {}


def test_a_coefficient_is_not_negative():
    with pytest.raises(ConfigError, match=r"loss\.lpips must be at least 0, got -1"):
        load_terms({"lpips": -1.0})
