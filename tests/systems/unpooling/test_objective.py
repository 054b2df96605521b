"""The unpooling objective: its sum, its gradients, its weights."""

import collections
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from configs.unpooling.base import make_config
from vgg_unpool_jax.errors import (
    ConfigError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from vgg_unpool_jax.evaluation.perceptual import LPIPS
from vgg_unpool_jax.losses import ms_ssim_loss
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.photo_range import any_range
from vgg_unpool_jax.pretrained import recorded as unpooling_weights
from vgg_unpool_jax.pretrained.metric_heads import LPIPS_CHANNELS, Heads
from vgg_unpool_jax.pretrained.networks import random_network_weights
from vgg_unpool_jax.pretrained.recorded import load_recorded_weights, weights_record
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import make_objective
from vgg_unpool_jax.systems.perceptual_terms import PerceptualTerms
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS, UnpoolingDecoder
from vgg_unpool_jax.systems.unpooling.objective import (
    LossCoefficients,
    UnpoolingObjective,
)

ALL_TERMS = LossCoefficients(l1=10.0, l2=1.0, ms_ssim=1000.0, perceptual=0.1)
PIXELS_ONLY = LossCoefficients(l1=10.0, l2=1.0, ms_ssim=0.0, perceptual=0.0)


def _objective(block, coefficients, **decoder):
    return UnpoolingObjective(
        VGG19Encoder(block),
        UnpoolingDecoder(block, **decoder),
        random_vgg19_weights(0, block=block),
        coefficients,
    )


def _images(side, n=1, seed=0):
    """Smooth random pictures in [0, 255]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    return jnp.asarray(coarse.repeat(side // 4, 1).repeat(side // 4, 2), jnp.float32)


def _loss_of(objective):
    def loss(params, model_state, images):
        state = {**model_state, "frozen": objective.frozen}
        keys = jax.random.split(jax.random.key(0), len(images))
        losses, aux = objective.losses(params, state, {"image": images}, keys, True)
        return losses["all"], aux

    return loss


@pytest.fixture(scope="module")
def all_terms():
    """Objective of all four terms, its parameters, images and jitted gradients."""
    objective = _objective(1, ALL_TERMS)
    images = _images(176)
    params, model_state = objective.init(jax.random.key(0), {"image": images})
    step = jax.jit(jax.value_and_grad(_loss_of(objective), has_aux=True))
    (loss, aux), gradients = step(params, model_state, images)
    return objective, params, images, loss, aux, gradients


def test_the_scalar_is_the_weighted_sum_of_the_terms(all_terms):
    _, _, images, loss, aux, _ = all_terms
    outputs = np.asarray(aux.outputs["output"])
    difference = outputs - np.asarray(images)
    assert set(aux.terms) == {"l1", "l2", "ms_ssim_loss", "perceptual"}
    np.testing.assert_allclose(aux.terms["l1"], np.mean(np.abs(difference)), rtol=1e-5)
    np.testing.assert_allclose(aux.terms["l2"], np.mean(difference**2), rtol=1e-5)
    np.testing.assert_allclose(
        aux.terms["ms_ssim_loss"], ms_ssim_loss(outputs, images), rtol=1e-4
    )
    by_hand = (
        10.0 * aux.terms["l1"]
        + 1.0 * aux.terms["l2"]
        + 1000.0 * aux.terms["ms_ssim_loss"]
        + 0.1 * aux.terms["perceptual"]
    )
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_the_perceptual_term_is_the_mean_squared_difference_of_features(all_terms):
    objective, _, images, _, aux, _ = all_terms
    apply = jax.jit(VGG19Encoder(1).apply)
    variables = {"params": objective.frozen["encoder"]}
    of_photo = np.asarray(apply(variables, images)[0], np.float64)
    of_output = np.asarray(apply(variables, aux.outputs["output"])[0])
    by_hand = np.mean((of_output - of_photo) ** 2)
    np.testing.assert_allclose(aux.terms["perceptual"], by_hand, rtol=1e-4)


def test_outputs_are_the_photo_and_its_unclipped_reconstruction(all_terms):
    objective, params, images, _, aux, _ = all_terms
    np.testing.assert_array_equal(aux.outputs["target"], images)
    encode = jax.jit(VGG19Encoder(1).apply)
    features, named = encode({"params": objective.frozen["encoder"]}, images)
    decoded, _ = jax.jit(UnpoolingDecoder(1).apply)(
        {"params": params}, features, named["switches"]
    )
    reconstruction = np.asarray(aux.outputs["output"])
    np.testing.assert_allclose(reconstruction, decoded, rtol=1e-4, atol=1e-2)
    assert reconstruction.min() < 0


def test_every_decoder_parameter_gets_a_gradient(all_terms):
    *_, gradients = all_terms
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        name = jax.tree_util.keystr(path)
        assert np.all(np.isfinite(leaf)), name
        assert np.any(leaf), name


def test_parameters_in_front_of_unpooling_get_gradients_too():
    objective = _objective(2, PIXELS_ONLY)
    images = _images(16)
    params, model_state = objective.init(jax.random.key(0), {"image": images})
    gradient = jax.jit(jax.grad(_loss_of(objective), has_aux=True))
    for leaf in jax.tree.leaves(gradient(params, model_state, images)[0]):
        assert np.any(leaf)


def test_a_term_of_weight_zero_is_absent():
    objective = _objective(1, PIXELS_ONLY)
    images = _images(16)  # far too small for MS-SSIM, which would raise
    params, model_state = objective.init(jax.random.key(0), {"image": images})
    loss, aux = _loss_of(objective)(params, model_state, images)
    assert set(aux.terms) == {"l1", "l2"}
    by_hand = 10.0 * aux.terms["l1"] + aux.terms["l2"]
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def _lpips():
    """LPIPS with weights that nobody has trained."""
    channels, rng = LPIPS_CHANNELS["alex"], np.random.default_rng(0)
    arrays = tuple(rng.uniform(size=c).astype(np.float32) for c in channels)
    return LPIPS("alex", random_network_weights("alexnet"), Heads(arrays, "h", "0"))


@pytest.mark.extended
def test_a_metric_is_a_term():
    metric = _lpips()
    coefficients = LossCoefficients(1.0, 0.0, 0.0, 0.0)
    objective = UnpoolingObjective(
        VGG19Encoder(1),
        UnpoolingDecoder(1),
        random_vgg19_weights(0, block=1),
        coefficients,
        perceptual=PerceptualTerms({"lpips": 100.0}, [metric]),
        remat="blocks",
    )
    assert objective.record["lpips"] == metric.record
    images = _images(32)
    params, state = objective.init(jax.random.key(0), {"image": images})
    step = jax.jit(jax.value_and_grad(_loss_of(objective), has_aux=True))
    (loss, aux), gradients = step(params, state, images)
    with any_range():  # a decoder that nobody has trained
        wanted = metric(aux.outputs["output"], images)
    np.testing.assert_allclose(aux.terms["lpips"], wanted[0], rtol=1e-4)
    by_hand = aux.terms["l1"] + 100.0 * aux.terms["lpips"]
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_loss_needs_a_term():
    with pytest.raises(ConfigError, match="one of the loss coefficients must be"):
        _objective(1, LossCoefficients(0.0, 0.0, 0.0, 0.0))


def test_a_config_names_metrics_and_older_ones_lack_them(monkeypatch):
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    config = _config()
    config.loss.dists = 2.0
    with pytest.raises(WeightsUnavailableError, match="DISTS_WEIGHTS"):
        make_objective(config)
    for name in ("lpips", "lpips_vgg", "dists"):
        del config.loss[name]
    assert set(make_objective(config).frozen) == {"encoder"}


def _count_primitives(jaxpr, name):
    """How often a primitive stands in a jaxpr, inner jaxprs included."""
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == name
        for inner in jaxprs_in_params(equation.params):
            count += _count_primitives(inner, name)
    return count


@pytest.mark.parametrize(
    ("perceptual", "encoder_runs"), [(0.0, 1), (0.1, 2)], ids=["without", "with"]
)
def test_the_encoder_runs_on_the_reconstruction_only_for_the_perceptual_term(
    perceptual, encoder_runs
):
    objective = _objective(2, LossCoefficients(1.0, 1.0, 0.0, perceptual))
    image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    key = jax.random.key(0)
    params, state = jax.eval_shape(objective.init, key, {"image": image})
    jaxpr = jax.make_jaxpr(_loss_of(objective))(params, state, image)
    # Four convolutions in the encoder up to block2_conv2, four in its mirror.
    assert _count_primitives(jaxpr.jaxpr, "conv_general_dilated") == (
        4 * encoder_runs + 4
    )


def test_the_photo_reaches_the_loss_as_target_alone():
    """What the decoder is fed carries no gradient back into encoder and photo."""
    objective = _objective(1, LossCoefficients(1.0, 0.0, 0.0, 0.0))
    images = _images(8)
    params, state = objective.init(jax.random.key(0), {"image": images})
    loss = _loss_of(objective)
    gradient, aux = jax.grad(loss, argnums=2, has_aux=True)(params, state, images)
    # d mean|output - photo| / d photo, with the output held constant.
    sign = np.sign(np.asarray(aux.outputs["output"] - images))
    np.testing.assert_allclose(gradient, -sign / images.size, rtol=1e-6)


def test_init_measures_the_rms_of_the_features_of_the_batch():
    objective = _objective(1, PIXELS_ONLY, normalize_features=True)
    images = _images(16, n=2, seed=7)
    _, state = objective.init(jax.random.key(0), {"image": images})
    variables = {"params": objective.frozen["encoder"]}
    features = np.asarray(VGG19Encoder(1).apply(variables, images)[0], np.float64)
    rms = np.sqrt(np.mean(features**2, axis=(0, 1, 2)))
    expected = np.maximum(rms, 1e-3 * rms.max())
    np.testing.assert_allclose(state[STATISTICS]["feature_rms"], expected, rtol=1e-4)


# --- weights from a config ------------------------------------------------------------


def _config(block=1, **encoder):
    config = make_config(block, "runlocal")
    config.encoder.update(encoder)
    return config


def _assert_same_params(ours, weights):
    for name, layer in weights.params.items():
        for kind, array in layer.items():
            np.testing.assert_array_equal(ours[name][kind], array)


def _gradients(objective, images):
    params, model_state = objective.init(jax.random.key(0), {"image": images})
    gradient = jax.value_and_grad(_loss_of(objective), has_aux=True)
    (loss, _), gradients = jax.jit(gradient)(params, model_state, images)
    return loss, gradients


def _pair(block, *, remat="none", **options):
    return UnpoolingObjective(
        VGG19Encoder(block, **options),
        UnpoolingDecoder(block, True, 64.0, 114.0, **options),
        random_vgg19_weights(0, block=block),
        LossCoefficients(l1=10.0, l2=1.0, ms_ssim=0.0, perceptual=0.1),
        remat=remat,
    )


@pytest.mark.extended
def test_rematerialisation_changes_no_gradient_and_keeps_less():
    images = _images(16, n=2)
    plain, remat = _pair(3, convolution="xla"), _pair(3, remat="blocks")
    loss, gradients = _gradients(plain, images)
    again, recomputed = _gradients(remat, images)
    np.testing.assert_allclose(again, loss, rtol=1e-5)
    for got, wanted in zip(*map(jax.tree.leaves, (recomputed, gradients)), strict=True):
        atol = 1e-4 * float(jnp.abs(wanted).max())
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol)

    def kept(objective):
        params, state = objective.init(jax.random.key(0), {"image": images})
        loss, photos = _loss_of(objective), _images(128)

        def pullback(params):
            return jax.vjp(lambda p: loss(p, state, photos), params, has_aux=True)[1]

        arrays = jax.tree.leaves(jax.eval_shape(pullback, params))
        return sum(array.size * array.dtype.itemsize for array in arrays)

    assert kept(remat) < 0.5 * kept(plain)


def test_bfloat16_computes_in_it_and_keeps_parameters_and_images_in_float32():
    images = _images(16, n=2)
    single, half = _pair(2), _pair(2, dtype=jnp.bfloat16)
    loss, gradients = _gradients(single, images)
    half_loss, half_gradients = _gradients(half, images)
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(half_gradients))
    np.testing.assert_allclose(half_loss, loss, rtol=0.05)
    for got, wanted in zip(
        *map(jax.tree.leaves, (half_gradients, gradients)), strict=True
    ):
        wanted, got = np.ravel(wanted), np.ravel(got)
        if np.linalg.norm(wanted):
            cosine = got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted)
            assert cosine > 0.95
    encoder, decoder = half.encoder, half.decoder
    features, intermediates = encoder.apply({"params": half.frozen["encoder"]}, images)
    assert features.dtype == jnp.bfloat16
    params, state = half.init(jax.random.key(0), {"image": images})
    outputs, _ = decoder.apply(
        {"params": params, **state}, features, intermediates["switches"]
    )
    assert outputs.dtype == jnp.float32
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(params))


def test_a_config_from_before_these_choices_means_the_plain_ones():
    config = _config()
    for field in ("compute_dtype", "convolution", "remat"):
        del config[field]
    objective = make_objective(config)
    assert objective.encoder == VGG19Encoder(config.encoder.block)
    assert objective.remat == "none"


def test_a_config_builds_the_pair_of_its_block():
    config = make_config(3, "best,runlocal")
    objective = make_objective(config)
    assert objective.encoder == VGG19Encoder(3, "caffe", convolution="xla")
    assert objective.decoder == UnpoolingDecoder(
        3, True, 64.0, 114.0, convolution="xla"
    )
    assert objective.record["vgg19"]["origin"] == "random:seed=0"
    assert objective.coefficients == LossCoefficients(10.0, 0.0, 0.0, 0.0)


def test_a_named_file_is_taken_and_recorded(tmp_path):
    weights = random_vgg19_weights(5, block=1, preprocessing="torchvision")
    path = tmp_path / "five.safetensors"
    save_safetensors(weights, path)
    objective = make_objective(_config(weights=str(path)))
    _assert_same_params(objective.frozen["encoder"], weights)
    assert objective.encoder.preprocessing == "torchvision"
    assert objective.record["vgg19"]["preprocessing"] == "torchvision"
    assert objective.record["vgg19"]["sha256"] == weights.sha256


def _no_weights_anywhere(monkeypatch):
    def fail(path, *, block):
        raise WeightsUnavailableError("there is no network")

    monkeypatch.setattr(unpooling_weights, "load_vgg19_weights", fail)


def test_without_weights_a_run_fails_unless_it_may_go_on_with_random_ones(
    monkeypatch, caplog
):
    _no_weights_anywhere(monkeypatch)
    with pytest.raises(WeightsUnavailableError, match="there is no network"):
        make_objective(_config(weights=""))

    config = _config(weights="", random_if_unavailable=True, random_seed=3)
    with caplog.at_level(logging.WARNING):
        objective = make_objective(config)
    wanted = random_vgg19_weights(3, block=1)
    _assert_same_params(objective.frozen["encoder"], wanted)
    assert objective.record["vgg19"] == weights_record(wanted)
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "RANDOM encoder weights" in warnings[0].getMessage()
    assert "there is no network" in warnings[0].getMessage()


def test_a_run_that_began_with_random_weights_goes_on_with_them(monkeypatch):
    asked = collections.Counter()
    monkeypatch.setattr(
        unpooling_weights, "load_vgg19_weights", lambda *_, **__: asked.update(["file"])
    )
    config = _config(weights="", random_if_unavailable=True, random_seed=3)
    began = {"vgg19": weights_record(random_vgg19_weights(3, block=1))}
    objective = make_objective(config, began)
    assert objective.record == began
    assert not asked


def test_other_weights_than_the_recorded_are_refused_with_both_names(tmp_path):
    recorded = weights_record(random_vgg19_weights(1, block=1))
    other, path = random_vgg19_weights(2, block=1), tmp_path / "other.safetensors"
    save_safetensors(other, path)
    with pytest.raises(WeightsMismatchError) as caught:
        load_recorded_weights(_config().encoder, recorded, path)
    sentence = str(caught.value)
    assert "trained with the VGG19 weights random:seed=1" in sentence
    assert "not with random:seed=2" in sentence
    assert recorded["sha256"][:12] in sentence and other.sha256[:12] in sentence
    assert "\n" not in sentence


def test_the_same_arrays_under_another_preprocessing_are_refused(tmp_path):
    weights = random_vgg19_weights(1, block=1)
    path = tmp_path / "caffe.safetensors"
    save_safetensors(weights, path)
    recorded = weights_record(weights) | {"preprocessing": "torchvision"}
    with pytest.raises(WeightsMismatchError, match="caffe preprocessing"):
        load_recorded_weights(_config().encoder, recorded, path)


def test_random_weights_that_came_from_a_file_are_read_from_it(tmp_path):
    path = tmp_path / "file.safetensors"
    save_safetensors(random_vgg19_weights(9, block=1), path)
    recorded = weights_record(random_vgg19_weights(9, block=1))
    config = _config(weights=str(path), random_seed=0)
    found = load_recorded_weights(config.encoder, recorded)
    assert weights_record(found) == recorded
