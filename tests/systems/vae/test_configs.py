"""The VAE's experiments as they are shipped."""

import importlib

import jax
import numpy as np
import pytest

from configs import vae_coco, vae_food101
from configs.vae import faces
from vgg_unpool_jax.systems import make_objective, train_and_evaluate


@pytest.mark.parametrize("module", [vae_coco, vae_food101])
def test_the_default_is_the_published_recipe(module):
    config = module.get_config()
    assert config.data.batch_size == 64
    assert config.data.crop == config.evaluation.crop == "center_resize:375"
    assert config.data.image_size == config.evaluation.image_size == 64
    assert config.data.flip
    assert config.loss.to_dict() == {
        "name": "published",
        "lambda_mse": 1e-6,
        "mean_kl": True,
    }
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.decay, optimizer.eps) == ("rmsprop", 0.9, 1e-8)
    assert optimizer.schedule == "exponential"
    assert (optimizer.decay_rate, optimizer.decay_epochs) == (0.75, 1.0)
    assert {name: part.learning_rate for name, part in optimizer.parts.items()} == {
        "encoder": 1e-3,
        "decoder": 1e-3,
    }
    # All photos of both sources: none is held back, and none is validated on twice.
    assert config.data.validation_source != config.data.source
    assert config.data.split_fractions == (1.0, 0.0, 0.0)
    assert config.evaluation.num_photos == 0
    # The record of the experiment names its command.
    name = module.__name__.split(".")[-1]
    record = importlib.import_module(f"configs.vae.{name.removeprefix('vae_')}").__doc__
    assert f"--config=configs/{name}.py" in record


@pytest.mark.parametrize(
    ("size", "variant"), [(32, "size32"), (64, ""), (128, "size128"), (256, "size256")]
)
def test_every_size_makes_a_network(size, variant):
    config = vae_coco.get_config(variant)
    objective = make_objective(config)
    images = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
    key = jax.random.key(0)
    params, state = jax.eval_shape(objective.init, key, {"image": images})
    state = {**state, "frozen": {}}
    batch = {"image": images, "step": jax.ShapeDtypeStruct((), np.int32)}
    _, aux = jax.eval_shape(
        lambda *args: objective.losses(*args, jax.random.split(key), True),
        *(params, state, batch),
    )
    assert aux.outputs["output"].shape == (2, size, size, 3)
    assert config.data.image_size == size
    # A network for larger photos has more stages, not a dense layer of billions.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) < 40e6


def test_the_elbo_variant_has_one_optimizer():
    config = vae_coco.get_config("beta")
    assert config.loss.name == "beta" and "parts" not in config.optimizer
    assert (config.optimizer.name, config.optimizer.schedule) == ("adam", "linear")


def test_one_flag_sets_the_rate_of_both_networks():
    config = vae_coco.get_config()
    config.optimizer.learning_rate = 1e-5
    parts = config.optimizer.parts
    assert parts.encoder.learning_rate == parts.decoder.learning_rate == 1e-5
    parts.encoder.learning_rate = 1e-2
    assert (config.optimizer.learning_rate, parts.decoder.learning_rate) == (1e-5, 1e-5)


@pytest.mark.parametrize("names", [("runlocal", "size128"), ("runlocal", "photos")])
def test_variants_mean_the_same_in_any_order(names):
    one, other = (vae_coco.get_config(",".join(n)) for n in (names, names[::-1]))
    assert one.to_dict() == other.to_dict()
    assert one.num_steps == 4


def test_food101_reads_class_folders_too():
    config = vae_food101.get_config("folder")
    assert config.data.source == "folder:food-101/images"
    assert config.data.validation_source == ""
    assert config.data.split_fractions == (0.75, 0.25, 0.0)
    assert vae_food101.get_config("folder,photos").data.split_fractions == (0.9, 0.1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "variant"),
    [
        pytest.param(vae_coco, "runlocal", marks=pytest.mark.extended),
        pytest.param(vae_food101, "beta,runlocal", marks=pytest.mark.extended),
    ],
)
def test_runlocal_trains_as_it_is_shipped(module, variant, tmp_path):
    result = train_and_evaluate(module.get_config(variant), tmp_path)
    assert int(result.state.step) == result.total_steps > 0
    assert np.isfinite(list(result.metrics.values())).all()
    assert {"pcc", "ssim_zero_padded", "elbo", "active_units"} <= set(result.metrics)


@pytest.mark.parametrize("variant", ["", "size32", "runlocal", "deepsim,runlocal"])
def test_faces_are_trained_on_the_bound_or_with_deepsim(variant):
    config = faces.get_config(variant)
    is_bound = "deepsim" not in variant
    assert config.loss.name == ("beta" if is_bound else "deepsim")
    assert config.model.learn_decoder_std == is_bound
    objective = make_objective(config)
    size = config.model.image_size
    images = jax.ShapeDtypeStruct((2, size, size, 3), np.float32)
    jax.eval_shape(objective.init, jax.random.key(0), {"image": images})


def test_faces_with_deepsim_take_the_steps_of_few_photos():
    config = faces.get_config("deepsim")
    assert config.optimizer.parts.discriminator.learning_rate == 2e-4
    assert config.optimizer.schedule == "linear" and config.data.batch_size == 32
