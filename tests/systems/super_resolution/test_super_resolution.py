"""Super-resolution on the trainer, and what loads a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs.super_resolution import photos
from tests.experiments.commands import run_command
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.data.bicubic import reduce_bicubic, resize_bicubic
from vgg_unpool_jax.errors import ConfigError, PhotoError
from vgg_unpool_jax.nets.vgg19 import preprocess
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.systems.super_resolution.examples import make_example
from vgg_unpool_jax.systems.super_resolution.model import (
    FastUpscaler,
    SRGANGenerator,
    make_model,
)
from vgg_unpool_jax.systems.super_resolution.objective import (
    _as_published,
    from_config,
    prepare,
)
from vgg_unpool_jax.systems.super_resolution.report import (
    enlarge,
    mean_gradient,
    psnr_y,
)

_KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = photos.get_config("runlocal")
    config.num_steps = config.evaluation.every_steps = 250
    config.checkpoints.every_steps = 250
    config.optimizer.average_decay = 0.0
    config.optimizer.learning_rate = 3e-3
    train_and_evaluate(config, folder)
    return folder


def _count(model):
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def test_numbers_of_parameters():
    def conv(size, inputs, outputs):
        return size**2 * inputs * outputs + outputs

    fast = conv(3, 3, 48) + 6 * conv(3, 48, 48) + conv(3, 48, 48)
    assert _count(make_model(photos.get_config())) == fast == 146_832
    srgan = conv(9, 3, 64) + 33 * (conv(3, 64, 64) + 2 * 64)
    srgan += 2 * conv(3, 64, 256) - conv(3, 64, 256) + conv(3, 256, 256)
    srgan += conv(9, 256, 3)
    assert _count(SRGANGenerator()) == srgan


def test_an_untrained_network_enlarges_bicubically():
    photo = make_source("samples")[0][:20, :24]
    model = FastUpscaler(4, 8, 1)
    variables = jax.jit(model.init)(jax.random.key(0), photo[None].astype(np.float32))
    found = model.apply(variables, photo[None].astype(np.float32))[0]
    expected = resize_bicubic(photo.astype(np.float64), 80, 96)
    np.testing.assert_allclose(found[8:-8, 8:-8], expected[8:-8, 8:-8], atol=2e-3)
    np.testing.assert_allclose(
        enlarge(jnp.asarray(photo[None], jnp.float32), 4)[0], expected, atol=2e-3
    )


def test_psnr_of_luma_without_border():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, (1, 20, 24, 3)).astype(np.float32)
    outputs = targets + rng.normal(0, 5, targets.shape).astype(np.float32)
    outputs[:, :4], outputs[:, -4:] = 0, 0  # in the border alone
    rounded = np.round(np.clip(outputs, 0, 255)).astype(np.float64)
    luma = [
        16 + (65.481 * a[..., 0] + 128.553 * a[..., 1] + 24.966 * a[..., 2]) / 255
        for a in (rounded, targets)
    ]
    error = (luma[0] - luma[1])[:, 4:-4, 4:-4]
    expected = 10 * np.log10(255**2 / np.mean(error**2))
    found = psnr_y(jnp.asarray(outputs), jnp.asarray(targets), border=4)
    np.testing.assert_allclose(found, [expected], atol=1e-3)
    assert expected > 30


def test_the_mean_gradient_of_a_hand_example():
    images = np.zeros((2, 2, 3, 3), np.float32)
    images[1, 0] = 255  # one of two rows is white: luma from 16 to 235
    found = mean_gradient(jnp.asarray(images))
    np.testing.assert_allclose(found, [0, (219 + 0) / 2], rtol=1e-5)


def test_examples_are_reduced_after_they_are_turned():
    config = photos.get_config()
    crop = make_source("samples")[0][:96, :96]
    for seed in range(4):
        example = make_example(config, "data")(crop, np.random.default_rng(seed))
        np.testing.assert_array_equal(
            example["input"], reduce_bicubic(example["image"], 4)
        )
    whole = make_example(config, "evaluation")(crop[:51, :38], None)
    assert whole["image"].shape == (48, 36, 3) and whole["input"].shape == (12, 9, 3)
    with pytest.raises(PhotoError, match="reduced by 4, got 3×38"):
        make_example(config, "evaluation")(crop[:3, :38], None)
    config.data.image_size = 50
    with pytest.raises(ConfigError, match="multiple of the factor"):
        make_example(config, "data")


def test_training_improves_on_bicubic(workdir):
    source = make_source("samples")
    part = Split(source, np.arange(len(source)))
    trained = load_trained(workdir)
    found = trained.evaluate(part, crop="center", image_size=96).metrics
    assert found["psnr_y"].mean > found["bicubic_psnr_y"].mean + 0.05


@pytest.mark.extended
def test_nothing_beyond_the_margin_has_an_influence():
    model = FastUpscaler(2, 4, 3)
    side = 2 * model.margin + 9
    # Brighter than the grey that is subtracted.
    images = jax.random.uniform(_KEY, (1, side, side, 3), minval=130.0, maxval=255.0)
    params = model.init(_KEY, images)["params"]
    kernel = params["output"]["kernel"]
    params["output"]["kernel"] = jax.random.normal(_KEY, kernel.shape)
    # Positive kernels alone, so that no path is cut by a ReLU.
    variables = {"params": jax.tree.map(jnp.abs, params)}
    middle = side // 2

    def one(images):
        return jnp.sum(model.apply(variables, images)[0, 2 * middle, 2 * middle])

    rows = np.flatnonzero(np.abs(jax.grad(one)(images)).sum(axis=(0, 2, 3)))
    reach = max(middle - rows.min(), rows.max() - middle)
    assert reach == model.margin


def test_tiles_are_as_the_whole(workdir):
    trained = load_trained(workdir)
    photo = make_source("samples")[0][:70, :90]
    whole = trained.upscale(photo, tile=0)
    assert whole.shape == (280, 360, 3)
    np.testing.assert_allclose(trained.upscale(photo, tile=40), whole, atol=1e-3)


def test_a_photo_is_reduced_once_to_be_enlarged_again(workdir):
    trained = load_trained(workdir)
    photo = trained.prepare(make_source("samples")[0][:70, :91])
    assert photo.shape == (68, 88, 3)
    found = trained.reconstruct_photo(photo)
    wanted = trained.upscale(reduce_bicubic(photo, 4))
    assert found.shape == photo.shape and np.abs(found - wanted).mean() < 1
    assert np.abs(found - photo).mean() < 15
    with pytest.raises(PhotoError, match="at least 4 pixels, got 3×9"):
        trained.prepare(photo[:3, :9])


def test_small_and_grey_photos_and_a_release(workdir):
    trained = load_trained(workdir)
    photo = make_source("samples")[0][:3, :5]
    for side in (1, 3):
        found = trained.upscale(photo[:side, : 2 * side - 1])
        assert found.shape == (4 * side, 4 * (2 * side - 1), 3)
        assert np.isfinite(found).all() and found.std(axis=2).max() > 0
    released = workdir.parent / "upscaler.safetensors"
    trained.export(released)
    np.testing.assert_array_equal(load_trained(released).upscale(photo), found)
    gray = trained.upscale(np.repeat(photo[..., :1], 3, axis=2))
    assert gray.std(axis=2).max() < 1e-3
    with pytest.raises(PhotoError, match="3×5 would be enlarged to 49152×81920"):
        trained.upscale(photo, 4**7, iterative=True)


def test_other_factors_are_reached_again_and_again(workdir):
    trained = load_trained(workdir)
    photo = make_source("samples")[0][:16, :20]
    for factor in (2, 3, 8):
        found = trained.upscale(photo, factor, iterative=True)
        assert found.shape == (16 * factor, 20 * factor, 3)
    once = trained.upscale(photo, 3, iterative=True)
    expected = np.clip(resize_bicubic(trained.upscale(photo), 48, 60), 0, 255)
    assert np.abs(once - expected).mean() < 0.5
    with pytest.raises(ConfigError, match="enlarges by 4, got the factor 3"):
        trained.upscale(photo, 3)


def test_the_command_writes_the_result(workdir, tmp_path):
    photo = make_source("samples")[0][:16, :20]
    Image.fromarray(photo).save(tmp_path / "a.png")
    run = run_command(
        "upscale",
        f"--model={workdir}",
        f"--input={tmp_path / 'a.png'}",
        f"--output={tmp_path / 'out'}",
        "--grid",
    )
    assert run.returncode == 0, run.stderr
    found = np.asarray(Image.open(tmp_path / "out/a.png"))
    expected = np.round(load_trained(workdir).upscale(photo))
    np.testing.assert_array_equal(found, expected.astype(np.uint8))
    with Image.open(tmp_path / "out/a_grid.png") as grid:
        assert grid.size == (2 * 80 + 4, 64)


@pytest.mark.extended
def test_batches_are_normalised_by_srgan_and_statistics_kept():
    objective = from_config(photos.get_config("srgan,runlocal"))
    images = make_source("samples")[0][None, :32, :32].astype(np.float32)
    batch = {"image": images, "input": images[:, ::4, ::4], "step": 0}
    params, state = objective.init(jax.random.key(0), batch)
    state = {**state, "frozen": objective.frozen}
    after = objective.losses(params, state, batch, None, True)[1].model_state
    for part, layer in (
        ("generator", "middle_norm"),
        ("discriminator", "conv4_2_norm"),
    ):
        means = (s["batch_stats"][part][layer]["mean"] for s in (state, after))
        assert np.abs(np.subtract(*means)).max() > 0


def test_the_published_fault_gives_vgg19_images_in_minus_one_to_one():
    images = make_source("samples")[0][None, :8, :8].astype(np.float32)
    signed = images / 127.5 - 1
    for preprocessing, order in (("caffe", -1), ("torchvision", 1)):
        found = preprocess(_as_published(images, preprocessing), preprocessing)
        np.testing.assert_allclose(found, signed[..., ::order], atol=1e-4)


@pytest.mark.extended
def test_adversarial_training_starts_from_a_generator_and_trains_both(workdir):
    config = photos.get_config("gan,runlocal")
    config.initialize_shared_from = str(workdir)
    objective = from_config(config)
    images = make_source("samples")[0][None, :48, :48].astype(np.float32)
    batch = {"image": images, "input": images[:, ::4, ::4]}
    start, state = prepare(config, objective, *objective.init(_KEY, batch), None)
    known = load_trained(workdir).variables["params"]["generator"]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, known, start["generator"])))
    folder = workdir.parent / f"{workdir.name}-gan"
    train_and_evaluate(config, folder)
    saved = read_saved(folder, "super_resolution").variables["params"]
    before = {"generator": known, "discriminator": start["discriminator"]}
    for part, arrays in before.items():
        moved = jax.tree.map(
            lambda a, b: float(np.abs(a - b).max()), arrays, saved[part]
        )
        assert max(jax.tree.leaves(moved)) > 1e-4
    # What is loaded is the generator alone.
    trained = load_trained(folder)
    assert set(trained.variables["params"]) == {"generator"}
    assert trained.upscale(images[0, :20, :20]).shape == (80, 80, 3)
    # Between both generators, and released.
    first, target = load_trained(workdir), folder / "blended.safetensors"
    trained.blended(first, 0.25).export(target)
    between = load_trained(target).variables["params"]["generator"]
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(0.75 * a + 0.25 * b, c, atol=1e-6),
        saved["generator"],
        known,
        between,
    )
    first.config.model.width = 12
    with pytest.raises(ConfigError, match="networks to blend must be equal"):
        trained.blended(first, 0.25)
    with pytest.raises(ConfigError, match=r"share must lie in \[0, 1\], got 1.5"):
        trained.blended(first, 1.5)
    config.model.width = 12
    with pytest.raises(ConfigError, match="has the generator"):
        prepare(config, objective, start, state, None)


def test_the_second_loss_takes_over_at_its_step():
    config = photos.get_config("runlocal")
    config.num_steps, config.loss.then_from = 10, 0.8
    objective = from_config(config)
    images = make_source("samples")[0][None, :16, :16].astype(np.float32)
    batch = {"image": images, "input": images[:, ::4, ::4], "step": 0}
    params, state = objective.init(_KEY, batch)
    outputs = objective.losses(params, state, batch, None, False)[1].outputs["output"]
    error = np.asarray(outputs - images) / 255
    for step, expected in ((7, np.abs(error).mean()), (8, np.square(error).mean())):
        found = objective.losses(params, state, {**batch, "step": step}, None, True)[0]
        assert float(found["generator"]) == pytest.approx(expected, rel=1e-4)


def test_losses_of_the_discriminator_by_hand():
    fake, real = jnp.asarray([[0.0, 2.0]]), jnp.asarray([[1.0, -1.0]])
    logits = {"fake": np.array([0.0, 2.0]), "real": np.array([1.0, -1.0])}
    sigmoid = {name: 1 / (1 + np.exp(-values)) for name, values in logits.items()}
    expected = {
        "cross_entropy": -np.log(1 - sigmoid["fake"]).mean()
        - np.log(sigmoid["real"]).mean(),
        "mse": 0.5 * (sigmoid["fake"] ** 2 + (sigmoid["real"] - 1) ** 2).mean(),
    }
    for name, value in expected.items():
        config = photos.get_config("gan,runlocal")
        config.loss.discriminator = name
        found = from_config(config)._discriminator_loss(fake, real)
        assert float(found) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.name", "edsr", "fast, srgan, got 'edsr'"),
        ("model.factor", 5, "2, 3, 4, 8, got 5"),
        ("loss.then", "mse", "l1, l2, psnr, got 'mse'"),
        ("loss.then_from", 2.0, r"in \[0, 1\], got 2.0"),
        ("loss.discriminator", "hinge", "cross_entropy, mse, got 'hinge'"),
        ("loss.pixel", 0.0, "pixel or content must be positive"),
    ],
)
def test_configs_that_cannot_be_used(field, value, message):
    config = photos.get_config("runlocal")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=message):
        from_config(config)
