"""Colourisation on the trainer, and what loads a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import color

from configs.colorization import faces, photos
from tests.experiments.commands import run_command
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import ConfigError, WeightsMismatchError
from vgg_unpool_jax.ops.lab import rgb_to_lab
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.colorization import bins
from vgg_unpool_jax.systems.colorization.guided import upsample_chroma
from vgg_unpool_jax.systems.colorization.model import (
    EncoderDecoder,
    FeatureDecoder,
    make_model,
)
from vgg_unpool_jax.systems.colorization.objective import _draw_hints, from_config
from vgg_unpool_jax.systems.colorization.report import colorfulness
from vgg_unpool_jax.systems.colorization.strokes import spread_strokes

# Of `VGG19_LAYERS` for photos of 64×48.
_FEATURES = (1, 4, 3, 512), (1, 8, 6, 512), (1, 16, 12, 256)


def _arrays(shape):
    """One array, or a tuple of them for a tuple of shapes."""
    if isinstance(shape[0], tuple):
        return tuple(_arrays(each) for each in shape)
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _count(model, shape):
    arrays = _arrays(shape)
    shapes = jax.eval_shape(model.init, jax.random.key(0), arrays)["params"]
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def test_the_published_numbers_of_parameters():
    assert _count(EncoderDecoder(), (1, 224, 224, 1)) == 6_219_538
    assert _count(FeatureDecoder(), (1, 7, 7, 512)) == 1_572_114
    # Ours, of which docs/colorization.md tells.
    pyramid = make_model(photos.get_config("pyramid"))
    assert _count(pyramid, (1, 64, 64, 1)) == 2_867_692
    assert _count(make_model(photos.get_config()), _FEATURES) == 2_705_476


def test_outputs_have_the_size_of_the_photo_or_a_quarter():
    quarter = (1, 16, 12, len(bins.bin_centers()))
    for model, shape, expected in (
        (EncoderDecoder(), (1, 64, 48, 1), (1, 64, 48, 2)),
        (FeatureDecoder(), (1, 2, 1, 512), (1, 64, 32, 2)),
        (make_model(photos.get_config("pyramid,runlocal")), (1, 64, 48, 1), quarter),
        (make_model(photos.get_config("runlocal")), _FEATURES, quarter),
    ):
        arrays = _arrays(shape)
        found, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), arrays)
        assert found.shape == expected


def test_bins_hold_all_colours_and_give_them_back():
    rng = np.random.default_rng(0)
    ab = np.asarray(rgb_to_lab(rng.uniform(0, 255, (500, 3)).astype(np.float32)))[:, 1:]
    distances = np.linalg.norm(ab[:, None] - bins.bin_centers(), axis=-1)
    assert distances.min(axis=1).max() < bins.STEP * 0.75
    shares = np.asarray(bins.encode(ab))
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-5)
    assert ((shares > 0).sum(axis=-1) <= 5).all()
    np.testing.assert_array_equal(shares.argmax(axis=-1), distances.argmin(axis=-1))
    # The mean of the neighbours is near the colour, also through logits.
    found = bins.decode(jnp.log(shares + 1e-12), 1.0)
    assert np.linalg.norm(found - ab, axis=-1).mean() < 5
    weights = bins.rebalancing_weights(shares.mean(axis=0))
    assert np.sum(weights * shares.mean(axis=0)) == pytest.approx(1, rel=1e-4)
    rare, common = shares.mean(axis=0).argmin(), shares.mean(axis=0).argmax()
    assert weights[rare] > weights[common]


def test_weights_of_bins_are_taken_out_when_they_are_read():
    """Weighted cross entropy has its minimum at shares times weights."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(len(bins.bin_centers()), 0.3)).astype(np.float32)
    weights = bins.rebalancing_weights(shares)
    learned = jnp.log(shares * weights / np.sum(shares * weights))
    mean = shares @ bins.bin_centers()
    found = [
        np.asarray(bins.decode(learned, 1.0, weights, unweight))
        for unweight in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(found[2], mean, atol=1e-3)
    distances = [np.linalg.norm(ab - mean) for ab in found]
    assert distances[0] > distances[1] > 0.1


def test_half_of_the_photos_are_told_some_true_colours():
    cells = jnp.arange(64 * 32 * 32 * 2, dtype=jnp.float32).reshape(64, 32, 32, 2) + 1
    hints = np.asarray(_draw_hints(cells, jax.random.split(jax.random.key(0), 64)))
    mask = hints[..., 2:]
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(hints[..., :2], mask * cells)
    shares = mask.mean(axis=(1, 2, 3))
    assert 0.25 < np.mean(shares > 0) < 0.65  # few photos of a small share have none
    assert 0.02 < shares.max() < 0.15
    # The draws of a photo are its own.
    again = _draw_hints(cells[5:6], jax.random.split(jax.random.key(0), 64)[5:6])
    np.testing.assert_array_equal(again[0], hints[5])


def test_strokes_spread_up_to_an_edge_of_the_luminance():
    luminance = np.full((12, 20), 30.0, np.float32)
    luminance[:, 10:] = 80
    chroma = np.full((12, 20, 2), 5.0, np.float32)
    known = np.zeros((12, 20, 3), np.float32)
    known[5, 4] = (45, -35, 1)
    found = spread_strokes(chroma, known, luminance)
    np.testing.assert_allclose(found[5, 4], (45, -35), atol=0.5)
    share = (found - chroma)[..., 0] / 40
    assert share[:, :10].min() > 0.5 and np.abs(share[:, 10:]).max() < 1e-3
    # It fades with the distance.
    assert share[5, 4] > share[5, 6] > share[11, 9]


def test_chroma_follows_an_edge_of_the_luminance():
    """Two areas whose border lies inside a position of the low resolution."""
    luminance = np.full((1, 64, 64, 1), 20.0, np.float32)
    luminance[:, :, 30:] = 80
    true = np.where(luminance > 50, [[[[40.0, -30.0]]]], [[[[-20.0, 10.0]]]])
    low = true.reshape(1, 16, 4, 16, 4, 2).mean(axis=(2, 4)).astype(np.float32)
    found = upsample_chroma(jnp.asarray(low), jnp.asarray(luminance))
    plain = jax.image.resize(low, true.shape, "linear")
    errors = [np.abs(np.asarray(a) - true)[:, :, 24:36].mean() for a in (found, plain)]
    assert errors[0] < 0.5 * errors[1]


def test_colorfulness_of_a_hand_example():
    images = np.zeros((2, 2, 2, 3), np.float32)
    images[1, 0], images[1, 1] = (200, 0, 0), (0, 100, 0)
    rg, yb = np.array([200, -100]), np.array([100, 50])
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    np.testing.assert_allclose(colorfulness(images), [0, expected], rtol=1e-5)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = faces.get_config("pyramid,runlocal")
    config.num_steps = config.evaluation.every_steps = 40
    config.checkpoints.every_steps = 40
    config.optimizer.average_decay = 0.0
    config.optimizer.learning_rate = 3e-3
    train_and_evaluate(config, folder)
    return folder


def test_luminance_stays_and_hints_are_followed(workdir):
    trained = load_trained(workdir)
    photo = make_source("samples")[0][:90, :75]
    found = trained.colorize(photo)
    assert found.shape == photo.shape and found.dtype == np.float32
    rounded = np.round(found).astype(np.uint8)
    luminance = [color.rgb2lab(image)[..., 0] for image in (rounded, photo)]
    assert np.abs(np.subtract(*luminance)).max() < 0.6  # of 100, by rounding
    gray = trained.colorize(photo, saturation=0.0)
    assert gray.std(axis=2).max() < 0.5
    hints = np.zeros((90, 75, 4), np.uint8)
    hints[20:40, 20:50] = (200, 30, 30, 255)
    told = trained.colorize(photo, hints=hints)
    assert np.abs(told - found).max() > 1
    with pytest.raises(ConfigError, match="RGBA of the photo's size 90×75"):
        trained.colorize(photo, hints=hints[:-1])


@pytest.mark.extended
def test_small_and_narrow_photos_and_a_release(workdir):
    trained = load_trained(workdir)
    photo = make_source("samples")[0]
    for height, width in ((1, 1), (3, 5)):
        found = trained.colorize(photo[:height, :width])
        assert found.shape == (height, width, 3) and np.isfinite(found).all()
    released = workdir.parent / "colorizer.safetensors"
    trained.export(released)
    again = load_trained(released).colorize(photo[:3, :5])
    np.testing.assert_array_equal(again, found)
    # At a size of 64 pixels; a strip is not as many times longer.
    assert trained._working_size((90, 180), None) == (64, 128)
    assert trained._working_size((2, 900), None) == (16, 512)


def test_known_colours_are_means_of_strokes(workdir):
    trained = load_trained(workdir)
    hints = np.zeros((128, 128, 4), np.uint8)
    hints[:8, :8], hints[8:16, :8] = (255, 0, 0, 255), (0, 0, 255, 255)
    known = trained._known(hints, (128, 128), (64, 64))
    assert known.shape == (1, 16, 16, 3) and known[..., 2].sum() == 2
    red = color.rgb2lab(np.array([[[1.0, 0, 0]]]))[0, 0, 1:]
    np.testing.assert_allclose(known[0, 0, 0, :2], red, atol=0.01)


def test_training_lowers_the_loss_and_evaluation_compares(workdir):
    source = make_source("samples")
    part = Split(source, np.arange(len(source)))
    found = load_trained(workdir).evaluate(part, crop="center", image_size=96)
    metrics = found.metrics
    assert metrics["mean_color_ab_rmse"].mean > 0
    assert metrics["gray_psnr"].mean > 15
    assert "colourfulness:" in found.report()
    config = faces.get_config("pyramid,runlocal")
    objective = from_config(config)
    variables = dict(load_trained(workdir).variables)
    batch = {"image": np.stack([source[0][:64, :64]]).astype(np.float32)}
    start, state = objective.init(jax.random.key(0), batch)
    state["statistics"] = variables["statistics"]
    losses = [
        float(objective.losses(params, state, batch, None, False)[0]["all"])
        for params in (start, variables["params"])
    ]
    assert losses[1] < losses[0] - 0.3


@pytest.mark.extended
def test_a_network_on_vgg19_is_trained_told_and_released(tmp_path, monkeypatch):
    config = photos.get_config("runlocal")
    files = [tmp_path / "elsewhere" / "vgg19.safetensors", tmp_path / "o.safetensors"]
    files[0].parent.mkdir()
    for seed, path in enumerate(files):
        save_weights(random_vgg19_weights(seed), path)
    config.model.weights = str(files[0])
    config.optimizer.average_decay = 0.0
    train_and_evaluate(config, tmp_path / "run")
    trained = load_trained(tmp_path / "run")
    photo = make_source("samples")[0][:70, :100]
    found = trained.colorize(photo)
    hints = np.zeros((70, 100, 4), np.uint8)
    np.testing.assert_array_equal(trained.colorize(photo, hints=hints), found)
    hints[10:14, 10:14] = (200, 30, 30, 255)
    told = trained.colorize(photo, hints=hints)
    assert np.abs(told - found)[10:14, 10:14].max() > 1
    trained.export(tmp_path / "color.safetensors")
    # The file has a name without a folder, which is not looked for.
    monkeypatch.setenv("VGG19_WEIGHTS", str(files[0]))
    again = load_trained(tmp_path / "color.safetensors")
    np.testing.assert_array_equal(again.colorize(photo), found)
    with pytest.raises(WeightsMismatchError, match=r"trained with random.* for vgg19"):
        load_trained(tmp_path / "color.safetensors", files[1])


@pytest.mark.extended
def test_the_decoder_of_vgg19_sees_hints_at_all_levels():
    model = make_model(photos.get_config("runlocal"))
    rng = np.random.default_rng(0)
    features = [np.float32(rng.uniform(0, 9, shape)) for shape in _FEATURES]
    variables = jax.jit(model.init)(jax.random.key(0), features)
    hints = np.zeros((1, 16, 12, 3), np.float32)
    plain = model.apply(variables, features, hints)
    np.testing.assert_array_equal(model.apply(variables, features), plain)
    hints[0, 1, 1] = (60, -40, 1)
    changed = np.abs(model.apply(variables, features, hints) - plain).max(axis=-1)[0]
    # Two convolutions at 1/4 of the size alone would reach row 3.
    assert changed[1, 1] > 1e-3 and changed[8:].max() > 1e-6
    for level in range(3):
        kernel = variables["params"][f"hints{level}"]["kernel"]
        without = jax.tree.map(np.array, variables)
        without["params"][f"hints{level}"]["kernel"] = np.zeros_like(kernel)
        other = model.apply(without, features, hints)
        assert np.abs(other - model.apply(variables, features, hints)).max() > 1e-4


def test_predictions_are_paler_without_the_weights_of_bins(workdir):
    trained = load_trained(workdir)
    luminance = rgb_to_lab(make_source("samples")[0][None, :64, :64])[..., :1]
    sizes = []
    for unweight in (0.0, 1.0):
        trained.config.loss.unweight = unweight
        chroma = from_config(trained.config).predict(trained.variables, luminance)
        sizes.append(float(jnp.mean(jnp.linalg.norm(chroma, axis=-1))))
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.extended
def test_dropout_takes_channels_from_photos_in_training():
    model = make_model(photos.get_config("runlocal"))
    rng = np.random.default_rng(0)
    features = tuple(
        np.float32(rng.uniform(0, 9, (3, *shape[1:]))) for shape in _FEATURES
    )
    variables = jax.jit(model.init)(jax.random.key(0), features)
    keys = jax.random.split(jax.random.key(1), 3)
    plain = model.apply(variables, features)
    dropped = model.apply(variables, features, None, keys)
    assert (np.abs(dropped - plain).max(axis=(1, 2, 3)) > 0.01).all()
    # The draws of a photo are its own.
    one = model.apply(variables, [x[1:2] for x in features], None, keys[1:2])
    np.testing.assert_allclose(one[0], dropped[1], atol=1e-4)


def test_weights_of_another_preprocessing_are_refused(tmp_path):
    weights = random_vgg19_weights(preprocessing="torchvision")
    save_weights(weights, tmp_path / "vgg19.safetensors")
    config = photos.get_config("runlocal")
    config.model.weights = str(tmp_path / "vgg19.safetensors")
    with pytest.raises(WeightsMismatchError, match="needs Keras' VGG19 weights, got"):
        from_config(config)


@pytest.mark.extended
def test_a_network_on_vgg16_is_trained_and_loaded(tmp_path):
    config = faces.get_config("vgg16,runlocal")
    train_and_evaluate(config, tmp_path)
    trained = load_trained(tmp_path)
    photo = make_source("samples")[0][:40, :70]
    assert trained.colorize(photo).shape == photo.shape
    with pytest.raises(ConfigError, match="vgg16 takes no hints"):
        trained.colorize(photo, hints=np.zeros((40, 70, 4), np.uint8))


@pytest.mark.extended
def test_the_command_writes_the_result(workdir, tmp_path):
    photo = make_source("samples")[0][:48, :64]
    Image.fromarray(photo).save(tmp_path / "a.png")
    run = run_command(
        "colorize",
        f"--model={workdir}",
        f"--input={tmp_path / 'a.png'}",
        f"--output={tmp_path / 'out'}",
        "--grid",
    )
    assert run.returncode == 0, run.stderr
    # A file of another kind, for which Pillow raises no OSError.
    (tmp_path / "strokes.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    refused = run_command(
        "colorize",
        f"--model={workdir}",
        f"--input={tmp_path / 'a.png'}",
        f"--output={tmp_path / 'refused'}",
        f"--hints={tmp_path / 'strokes.png'}",
    )
    assert refused.returncode == 1 and "strokes.png cannot be read" in refused.stderr
    assert not (tmp_path / "refused").exists()
    found = np.asarray(Image.open(tmp_path / "out/a.png")).astype(float)
    assert np.abs(found - load_trained(workdir).colorize(photo)).max() <= 0.51
    with Image.open(tmp_path / "out/a_grid.png") as grid:
        assert grid.size == (2 * 64 + 4, 48)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model.name", "unet", "vgg19, got 'unet'"),
        ("loss.name", "mse", "must be 'bins' for the network pyramid"),
        ("loss.temperature", 0.0, r"in \(0, 1\], got 0.0"),
        ("model.dropout", 1.0, r"in \[0, 1\), got 1.0"),
        ("loss.unweight", -0.1, r"in \[0, 1\], got -0.1"),
        ("model.blocks", (1, 1), "as many positive numbers"),
    ],
)
def test_configs_that_cannot_be_used(field, value, message):
    is_ours = field == "model.dropout"
    config = faces.get_config("runlocal" if is_ours else "pyramid,runlocal")
    config.update_from_flattened_dict({field: value})
    if value == "unet":
        config.loss.name = "mse"
    with pytest.raises(ConfigError, match=message):
        from_config(config)
