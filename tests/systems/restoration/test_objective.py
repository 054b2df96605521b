"""Losses, examples and configs of restoration."""

import importlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.restoration import base, photos
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.restoration.examples import make_example
from vgg_unpool_jax.systems.restoration.models import make_model
from vgg_unpool_jax.systems.restoration.objective import (
    RestorationObjective,
    from_config,
)
from vgg_unpool_jax.systems.restoration.restorer import (
    Levels,
    Restorer,
    from_vector,
    to_vector,
)

DAMAGES = {
    "noise": "noise:125",
    "pixelate": "pixelate:8",
    "block": "block:32",
    "squares": "squares",
    "grid": "grid",
    "blur": "blur:15",
    "jpeg": "jpeg:5",
}


class _Brighter:
    """A model that adds 51, 0.4 on [-1, 1], to every value."""

    def apply(self, variables, images, *arguments, mutable, **options):
        return images + 51.0, {}


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("mse", 0.16),
        ("l1", 0.4),
        ("psnr", 10 * np.log10(0.16 + (2 / 255) ** 2)),
    ],
)
def test_losses_of_a_constant_error(loss, wanted):
    images = jnp.full((2, 4, 4, 3), 100.0)
    objective = RestorationObjective(_Brighter(), loss, 0.0)
    batch = {"image": images, "input": images}
    losses, aux = objective.losses({}, {}, batch, None, False)
    np.testing.assert_allclose(losses["all"], wanted, rtol=1e-5)
    # 20 log10(255 / 51).
    np.testing.assert_allclose(aux.terms["psnr"], 13.9794, rtol=1e-5)
    # A model that changes nothing, of an undamaged photo, stops no run.
    exact = {"image": images + 51.0, "input": images}
    _, aux = objective.losses({}, {}, exact, None, False)
    assert 100 < aux.terms["psnr"] < 110


def test_levels_become_vectors_and_back():
    levels = Levels(jnp.array([0.0, 25.0]), jnp.array([100.0, 10.0]))
    vector = to_vector(levels)
    np.testing.assert_allclose(vector, [[0, 0], [0.5, 0.9]], atol=1e-6)
    np.testing.assert_allclose(from_vector(vector), levels, atol=1e-4)
    beyond = from_vector(jnp.array([-1.0, 3.0]))
    assert tuple(map(float, beyond)) == (0.0, 1.0)


@pytest.fixture(scope="module")
def blind():
    """An objective, and its parameters with an estimator that means something."""
    config = photos.get_config("runlocal")
    config.model.widths, config.model.blocks = (6, 8), (1, 1)
    objective = from_config(config)
    images = jnp.asarray(
        np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)), jnp.float32
    )
    batch = {
        "image": images,
        "input": images + 10.0,
        "noise": jnp.array([0.0, 20.0, 40.0]),
        "quality": jnp.array([100.0, 100.0, 30.0]),
    }
    params, state = objective.init(jax.random.key(1), batch)
    return objective, params, state, batch


def test_the_restorer_is_told_the_truth_of_half_the_photos(blind):
    objective, params, state, batch = blind
    model, told = objective.model, []

    class Spy:
        def apply(self, variables, inputs, *arguments, mutable=False, **options):
            if options.get("method") == "restore":
                told.append(arguments[0])
            found = model.apply(
                variables, inputs, *arguments, mutable=mutable, **options
            )
            return found

    spied = RestorationObjective(model, "psnr", 2.0)
    spied.model = Spy()
    keys = jax.random.split(jax.random.key(0), 3)
    _, aux = spied.losses(params, state, batch, keys, False)
    estimated = to_vector(
        Levels(aux.outputs["estimated_noise"], aux.outputs["estimated_quality"])
    )
    np.testing.assert_allclose(np.maximum(told[0], 0), estimated, atol=1e-5)
    for seed in range(6):
        keys = jax.random.split(jax.random.key(seed), 3)
        spied.losses(params, state, batch, keys, True)
    true = np.asarray(to_vector(Levels(batch["noise"], batch["quality"])))
    matches = [np.isclose(vectors, true).all(1).sum() for vectors in told[1:]]
    assert 3 < sum(matches) < 15
    errors = np.abs(np.asarray(aux.outputs["estimated_noise"]) - batch["noise"])
    np.testing.assert_allclose(aux.terms["noise_error"], errors.mean(), rtol=1e-5)
    assert set(aux.outputs) >= {"input", "output", "target"}


def test_a_restorer_that_has_learnt_nothing_returns_the_photo(blind):
    objective, params, state, batch = blind
    _, aux = objective.losses(
        params, state, batch, jax.random.split(jax.random.key(0), 3), False
    )
    np.testing.assert_array_equal(aux.outputs["output"], batch["input"])


@pytest.mark.parametrize("backbone", ["pyramid", "dncnn"])
def test_restorers_stay_within_their_size(backbone):
    config = photos.get_config("" if backbone == "pyramid" else backbone)
    model = make_model(config)
    assert isinstance(model, Restorer) and model.backbone == backbone
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    # In float16, 6 MB; the pyramid's number stands in its config.
    assert 2 * count < 6e6
    assert backbone == "dncnn" or f"{count:,}" in photos.__doc__
    if backbone == "dncnn":
        layers = params["restorer"]
        kernels = [v["kernel"].shape for v in layers.values() if "kernel" in v]
        assert kernels.count((3, 3, 64, 64)) == 18 and len(kernels) == 20


def test_examples_change_damage_and_shift():
    config = photos.get_config()
    config.data.damage = "jpeg:10"
    make = pickle.loads(pickle.dumps(make_example(config, "data")))
    crop = np.random.default_rng(0).integers(0, 256, (72, 72, 3), np.uint8)
    made = [make(crop, np.random.default_rng(seed)) for seed in range(24)]
    for arrays in made:
        assert arrays["image"].shape == arrays["input"].shape == (64, 64, 3)
        assert (arrays["noise"], arrays["quality"]) == (0, 10)
    # Of one half, blocks begin at the first pixel: compressed again, they stay.
    from vgg_unpool_jax.data.damage import make_damage

    again = make_damage("jpeg:10")
    changes = [
        np.abs(again(a["input"], None).photo.astype(int) - a["input"]).mean()
        for a in made
    ]
    assert 4 < sum(change < 4 for change in changes) < 20


def test_faces_are_damaged_after_the_published_changes():
    config = base.make_faces("block:32")
    crop = np.full((68, 68, 3), 128, np.uint8)
    arrays = make_example(config, "data")(crop, np.random.default_rng(0))
    assert arrays["input"].shape == (64, 64, 3)
    painted = (arrays["input"] == (255, 0, 255)).all(-1)
    assert painted.sum() == 33**2
    np.testing.assert_array_equal(arrays["input"][~painted], arrays["image"][~painted])
    fixed = make_example(config, "evaluation")(crop[:64, :64], None)
    assert (fixed["input"][16:49, 16:49] == (255, 0, 255)).all()
    config.data.flip = True
    with pytest.raises(ConfigError, match=r"data\.augmentation\.flip flips before"):
        make_example(config, "data")


@pytest.mark.parametrize("name", DAMAGES)
def test_the_seven_damages_are_the_published_recipe(name):
    module = importlib.import_module(f"configs.restoration.{name}")
    config = module.get_config()
    assert config.data.damage == config.evaluation.damage == DAMAGES[name]
    assert config.evaluation.fixed_damage
    assert config.data.batch_size == 80
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.schedule) == ("adam", "constant")
    assert (optimizer.learning_rate, optimizer.weight_decay) == (3e-4, 1e-4)
    assert (config.loss.name, config.model.name) == ("mse", "densenet")
    assert f"--config=restoration/{name}" in module.__doc__
    small = module.get_config("runlocal,photos")
    assert small.to_dict() == module.get_config("photos,runlocal").to_dict()
    assert small.num_steps == 4
    assert make_model(module.get_config("basic51,half")).widths[-1] == 512


def test_equal_runs_have_as_many_products():
    work = set()
    for name in base.PRODUCTS:
        config = base.make_faces("squares", f"equal,{name}")
        work.add(round(config.num_steps * base.PRODUCTS[name] / 12_384 / 2_000, 2))
    assert work == {1.0}
    with pytest.raises(ValueError, match="goes with basic21"):
        base.make_faces("squares", "equal")


def test_models_are_checked():
    config = base.make_faces("grid", "basic21")
    for field, value, words in (
        ("name", "basic31", "must be one of basic21"),
        ("widths", (3, 4), "3 numbers for basic21"),
        ("widths", (3, 0, 4), "positive numbers"),
    ):
        changed = base.make_faces("grid", "basic21")
        changed.model[field] = value
        with pytest.raises(ConfigError, match=words):
            make_model(changed)
    config.model.blocks = (1,)
    with pytest.raises(ConfigError, match="goes with the fields widths"):
        make_model(config)
    config = base.make_faces("grid", "as_drawn")
    config.model.transitions = "drawn"
    with pytest.raises(ConfigError, match="one of as_code, as_drawn"):
        make_model(config)
    config = photos.get_config()
    config.loss.name = "l2"
    with pytest.raises(ConfigError, match="one of mse, l1, psnr"):
        from_config(config)
