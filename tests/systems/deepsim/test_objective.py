"""The DeePSiM loss, its parts that rest, and its configs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.deepsim import alexnet, autoencoder, base, vgg19
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.losses.adversarial import PauseRule
from vgg_unpool_jax.pretrained.feature_layers import (
    FeatureLayer,
)
from vgg_unpool_jax.systems.deepsim.loss import (
    STATE,
    Coefficients,
    DeePSiM,
    random_shift,
)
from vgg_unpool_jax.systems.deepsim.objective import (
    channel_scales,
    from_config,
    prepare,
)
from vgg_unpool_jax.training.optimizers import make_optimizer
from vgg_unpool_jax.training.parallel import parallelize_step, shard_batch
from vgg_unpool_jax.training.state import create_train_state
from vgg_unpool_jax.training.step import make_train_step


class _Shifted(DeePSiM):
    """Whose features are the images and whose discriminator answers a fixed logit."""

    def features(self, frozen, images):
        self.seen = images.shape
        return images


class _Constant:
    """A discriminator: logits of what is brighter than 100 and of the rest."""

    def init(self, key, images):
        return {"params": {"shift": jnp.float32(0.0)}}

    def apply(self, variables, images, keys):
        real = jnp.mean(images, axis=(1, 2, 3)) > 100
        logit = jnp.where(real, 2.0, -1.0) + variables["params"]["shift"]
        return jnp.stack([logit, jnp.zeros_like(logit)], axis=1)


def test_terms_of_constant_images():
    coefficients = Coefficients(image=0.1, l1=2.0, feature=3.0, adversarial=5.0)
    loss = _Shifted(coefficients, FeatureLayer("alexnet", "conv5"), _Constant())
    targets = jnp.full((2, 4, 4, 3), 120.0)
    outputs = jnp.full((2, 4, 4, 3), 90.0)
    params, state = loss.init(jax.random.key(0), {}, targets)
    found = loss(params, state, {}, outputs, targets, None)
    feature = (30 / 120) ** 2
    adversarial = np.log(1 + np.e)  # -log p(real) of the logit -1
    np.testing.assert_allclose(found.terms["image"], 900, rtol=1e-5)
    np.testing.assert_allclose(found.terms["feature"], feature, rtol=1e-5)
    np.testing.assert_allclose(found.terms["adversarial"], adversarial, rtol=1e-5)
    wanted = 0.1 * 900 + 2 * 30 + 3 * feature + 5 * adversarial
    np.testing.assert_allclose(found.loss, wanted, rtol=1e-5)
    of_discriminator = np.log(1 + np.exp(-1)) + np.log(1 + np.exp(-2))
    np.testing.assert_allclose(found.discriminator_loss, of_discriminator, rtol=1e-5)
    # Evaluation leaves the state as it is, training keeps the losses.
    assert found.state["discriminator_loss"] == 1.0
    keys = jax.random.split(jax.random.key(0), 2)
    state = loss(params, state, {}, outputs, targets, keys).state
    np.testing.assert_allclose(state["discriminator_loss"], of_discriminator, rtol=1e-5)
    np.testing.assert_allclose(state["generator_loss"], adversarial, rtol=1e-5)


def test_the_default_coefficients_are_the_published_ones():
    """Caffe's sums over 2N at 227 pixels, divided by the adversarial coefficient."""
    rng = np.random.default_rng(0)
    images, others = rng.uniform(0, 255, (2, 3, 227, 227, 3))
    caffe = 2e-6 * np.sum((images - others) ** 2) / (2 * 3) / 100
    found = autoencoder.get_config().loss.image * np.mean((images - others) ** 2)
    np.testing.assert_allclose(found, caffe, rtol=5e-3)
    config = autoencoder.get_config()
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.b1, optimizer.b2) == (2e-4, 0.9, 0.999)
    np.testing.assert_allclose(optimizer.weight_decay, 4e-4 / 100)
    assert config.data.batch_size == 64


@pytest.fixture(scope="module")
def small():
    """(config, objective, batch, state) of a small autoencoder on both devices."""
    config = autoencoder.get_config("runlocal")
    objective = from_config(config)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    batch = {"image": images, "index": np.arange(2, dtype=np.int32)}
    optimizer = make_optimizer(config.optimizer, 4, 1.0)
    first = {**batch, "image": images.astype(np.float32)}
    params, model_state = objective.init(jax.random.key(0), first)
    state = create_train_state(
        params, model_state, optimizer.transformation, averaged=False
    )
    step = parallelize_step(
        make_train_step(objective, optimizer, lambda keys, x: x, average_decay=0.0)
    )
    return step, objective, batch, state


def test_a_channel_that_is_rarely_active_is_not_blown_up():
    squares = jnp.array([4.0, 9.0, 0.0, 1e-8])
    least = 0.1 * np.sqrt(13 / 4)
    np.testing.assert_allclose(channel_scales(squares), [2, 3, least, least], rtol=1e-6)
    assert (channel_scales(jnp.zeros(3)) > 0).all()


def test_scales_are_those_of_all_photos_of_the_preparation():
    config = alexnet.get_config("runlocal")
    config.preparation.num_photos, config.preparation.batch_size = 3, 2
    objective = from_config(config)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    images[2] //= 8  # a batch of its own, which counts as one photo
    asked = []

    def crops(*sizes):
        asked.append(sizes)
        yield from (images[:2], images[2:])

    params, state = {"generator": 1}, {"statistics": None, STATE: {"kept": 2}}
    found, state = prepare(config, objective, params, state, crops)
    assert asked == [(3, 64, 2)] and found is params and state[STATE] == {"kept": 2}
    layer = objective.inverted
    features = layer.apply(objective.frozen["alexnet"], images.astype(np.float32))
    wanted = channel_scales(jnp.mean(jnp.square(features), axis=(0, 1, 2)))
    np.testing.assert_allclose(state["statistics"]["feature_rms"], wanted, rtol=1e-4)


def test_a_shift_moves_both_batches_alike_and_reaches_all_positions():
    rows, columns = np.mgrid[:5, :6]
    image = (10.0 * rows + columns)[..., None].astype(np.float32)
    images = jnp.tile(image, (60, 1, 1, 1))
    keys = jax.random.split(jax.random.key(0), 60)
    first, second = random_shift(keys, [images, -images], 3)
    np.testing.assert_array_equal(first, -second)
    assert first.shape == (60, 7, 8, 1)
    seen = set()
    for moved in np.asarray(first):
        # A column and a row, which rise where the image is.
        lines = moved[:, 4, 0], moved[3, :, 0]
        top, left = (int(np.argmax(np.diff(line) > 0)) for line in lines)
        np.testing.assert_array_equal(moved[top : top + 5, left : left + 6], image)
        seen.add((top, left))
    assert len(seen) == 9
    (same,) = random_shift(keys, [images], 1)
    assert same is images
    # For VGG19, whose sides are multiples of a number, the border is wider.
    (wider,) = random_shift(keys, [images], 3, 4)
    assert wider.shape == (60, 9, 10, 1)
    np.testing.assert_array_equal(wider[:, 2:6, 2:6], first[:, :4, :4])


def test_the_comparator_sees_shifted_images_in_training_alone():
    coefficients = Coefficients(image=0.0, l1=0.0, feature=1.0, adversarial=0.0)
    options = coefficients, FeatureLayer("alexnet", "conv5")
    targets = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)), "f4")
    found = {}
    for shift in (1, 4):
        loss = _Shifted(*options, shift=shift)
        _, state = loss.init(jax.random.key(0), {}, targets)
        for keys in (None, jax.random.split(jax.random.key(0), 2)):
            terms = loss({}, state, {}, targets + 30, targets, keys).terms
            found[shift, keys is None] = float(terms["feature"])
            moves = shift == 4 and keys is not None
            assert loss.seen == ((2, 11, 11, 3) if moves else (2, 8, 8, 3))
    assert found[1, True] == found[4, True] == found[1, False]
    # A constant difference stays one.
    assert found[4, False] == pytest.approx(found[1, False], rel=1e-5)
    with pytest.raises(
        ConfigError, match=r"comparator\.shift must be at least 1, got 0"
    ):
        DeePSiM(*options, shift=0)


@pytest.mark.parametrize(
    ("losses", "resting", "stepping"),
    [
        ((0.01, 1.0), "discriminator", "generator"),  # too good a discriminator
        ((20.0, 1.0), "generator", "discriminator"),
    ],
)
def test_a_part_that_rests_keeps_its_parameters_and_optimizer(
    small, assert_same_tree, losses, resting, stepping
):
    step, objective, batch, state = small
    pause = dict(state.model_state[STATE])
    pause["discriminator_loss"], pause["generator_loss"] = map(jnp.float32, losses)
    state = state.replace(model_state={**state.model_state, STATE: pause})
    before = jax.device_get(state)
    after, metrics = step(
        jax.tree.map(jnp.copy, state),
        objective.frozen,
        shard_batch(batch),
        jax.random.key(1),
    )
    assert (
        float(metrics[f"{resting}_on"]) == 0 and float(metrics[f"{stepping}_on"]) == 1
    )
    assert_same_tree(after.params[resting], before.params[resting])
    states = [x.opt_state.inner_states for x in (after, before)]
    assert_same_tree(*(x[resting] for x in states))
    kernels = [x.params[stepping] for x in (after, before)]
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), *kernels)
    assert any(jax.tree.leaves(changed))
    kept = after.model_state[STATE]
    assert float(kept[f"{resting}_on"]) == 0
    # The next step decides by what these losses were.
    total = metrics["discriminator_fake"] + metrics["discriminator_real"]
    np.testing.assert_allclose(kept["discriminator_loss"], total, rtol=1e-5)


@pytest.mark.parametrize("variant", ["", *base.LOSSES])
@pytest.mark.parametrize("module", [autoencoder, alexnet, vgg19])
def test_every_loss_has_a_config(module, variant):
    config = module.get_config(f"{variant},photos,half,size128")
    adversarial = variant in ("", "no_image")
    assert ("parts" in config.optimizer) == adversarial == bool(config.loss.adversarial)
    assert bool(config.loss.feature) == (variant in ("", "feature", "no_image"))
    assert bool(config.loss.l1) == (variant == "l1")
    assert (config.model.width, config.data.image_size) == (0.5, 128)
    assert "--config=deepsim/" in module.__doc__


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss.image", -1.0, "must not be negative"),
        ("loss.pause_off", 0.7, "must rise"),
        ("comparator.layer", "fc6", "must be one of conv1, pool1"),
        ("comparator.network", "vgg16", "must be one of alexnet, vgg19"),
        ("comparator.network", "", "needs a comparator"),
        ("model.published", True, "generator of AlexNet's pool5, got alexnet conv5"),
        ("model.width", 0.0, "must be positive"),
    ],
)
def test_configs_that_cannot_be_used(field, value, message):
    config = alexnet.get_config("runlocal")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=message):
        from_config(config)


def test_the_rule_is_that_of_the_config():
    loss = from_config(autoencoder.get_config("runlocal"))._loss
    assert loss._pause == PauseRule(0.1, 0.5, 10.0)
