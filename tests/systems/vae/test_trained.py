"""Trained VAEs as other programs use them, on one that was trained for two steps."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vgg_unpool_jax
from configs.unpooling import base as unpooling
from configs.vae import base as vae
from vgg_unpool_jax.data import Split, make_source, open_splits, padded_center_resize
from vgg_unpool_jax.errors import (
    CheckpointError,
    ConfigError,
    PhotoError,
)
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.results import write_evaluation
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair
from vgg_unpool_jax.systems.vae.objective import make_model
from vgg_unpool_jax.systems.vae.trained import TrainedVAE, load_vae

SIDE, LATENT = 16, 8


def _images(count=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def _config(photos):
    config = vae.make_config("samples", "", "runlocal")
    config.num_steps = config.checkpoints.every_steps = 2
    config.data.source = f"folder:{photos}"
    # Four to train on and five to validate on, the last of them in a batch of its own.
    config.data.split_fractions = (0.45, 0.55, 0.0)
    config.data.crop = config.evaluation.crop = "center_resize:22"
    config.model.image_size = SIDE
    # Two photos a batch have statistics that other photos do not fit.
    config.model.batch_norm_momentum = 0.9
    config.evaluation.num_pictures = 0
    return config


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with nine smooth photos of 24×20 pixels in two classes."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(9):
        path = folder / ("odd" if number % 2 else "even") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        coarse.resize((24, 20), Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """(workdir, result) of a VAE that was trained for two steps."""
    workdir = tmp_path_factory.mktemp("vae") / "run"
    return workdir, train_and_evaluate(_config(photos), workdir)


@pytest.fixture(scope="module")
def trained(run):
    """That VAE."""
    return load_vae(run[0])


@pytest.fixture(scope="module")
def part(trained):
    """The validation photos of its run."""
    return open_splits(trained.config.data)["validation"]


@pytest.fixture(scope="module")
def pair_workdir(photos, tmp_path_factory):
    """Folder of a run of the other system."""
    config = unpooling.make_config(1, "runlocal")
    config.num_steps = config.checkpoints.every_steps = 1
    config.data.source = f"folder:{photos}"
    config.data.image_size = config.evaluation.image_size = SIDE
    config.evaluation.num_pictures = 0
    config.loss.ms_ssim = config.loss.perceptual = 0.0
    config.encoder.weights = "random"
    workdir = tmp_path_factory.mktemp("pair") / "run"
    train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A weight file of VGG19 up to block 3."""
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    save_safetensors(random_vgg19_weights(11, block=3), path)
    return path


# --- what was trained -----------------------------------------------------------------


def test_a_vae_is_what_was_trained(trained, run):
    _, result = run
    saved = {"params": result.state.params, **result.state.model_state}
    assert jax.tree.structure(saved) == jax.tree.structure(trained.variables)
    jax.tree.map(np.testing.assert_array_equal, saved, trained.variables)
    assert trained.step == 2
    assert (trained.image_size, trained.latent_size) == (SIDE, LATENT)
    assert trained.crop == "center_resize:22"
    assert trained.record == {}
    assert trained.encoder is None
    for words in ("16×16", "8 numbers per code", "2 steps"):
        assert words in trained.describe()
    assert vgg_unpool_jax.load_vae is load_vae


def test_a_released_vae_is_the_same_one(trained, tmp_path):
    path = tmp_path / "vae-small.safetensors"
    trained.export(path, facts={"hours": 1})
    for load in (load_vae, vgg_unpool_jax.load_trained):
        loaded = load(path)
        assert (loaded.step, loaded.crop) == (2, trained.crop)
        images = _images()
        np.testing.assert_array_equal(
            loaded.reconstruct(images), trained.reconstruct(images)
        )
    with pytest.raises(ConfigError, match="'vae', expected 'unpooling'"):
        vgg_unpool_jax.load_pair(path)


def test_encode_gives_means_and_log_variances(trained):
    images = _images(3)
    means, log_variances = trained.encode(images)
    assert means.shape == log_variances.shape == (3, LATENT)
    assert means.dtype == log_variances.dtype == jnp.float32
    _, named = trained.model.apply(trained.variables, images.astype(np.float32))
    np.testing.assert_allclose(means, named["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        log_variances, named["log_variance"], rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(means, log_variances)


def test_a_photo_is_encoded_alike_alone_and_among_others(trained):
    # By the running statistics and not by those of the batch.
    images = _images(3)
    together = np.asarray(trained.encode(images)[0])
    alone = np.concatenate([trained.encode(image[None])[0] for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_decode_gives_images(trained):
    codes = np.random.default_rng(0).standard_normal((3, LATENT))
    images = trained.decode(codes)
    assert images.shape == (3, SIDE, SIDE, 3)
    assert images.dtype == jnp.float32
    assert 0.0 <= float(images.min()) < float(images.max()) <= 255.0
    assert not np.allclose(images[0], images[1])


def test_log_std_is_that_of_the_config_or_the_one_that_was_learnt(trained, photos):
    assert trained.log_std() == pytest.approx(np.log(0.125))
    config = _config(photos)
    config.model.learn_decoder_std = True
    images = np.zeros((1, SIDE, SIDE, 3), np.float32)
    variables = jax.jit(make_model(config).init)(jax.random.key(0), images)
    assert TrainedVAE(config, variables, 0).log_std() == pytest.approx(np.log(0.125))
    variables["params"]["decoder"]["log_std"] = np.float32(-1.5)
    assert TrainedVAE(config, variables, 0).log_std() == -1.5


def test_prepare_cuts_a_photo_as_evaluation_does(trained, part):
    examples = trained.evaluate(part).examples
    assert len(examples) == 5
    for index in part.indices:
        photo = part.source[int(index)]
        prepared = trained.prepare(photo)
        assert prepared.dtype == np.uint8
        np.testing.assert_array_equal(
            prepared, padded_center_resize(photo, SIDE, side=22)
        )
        images = examples[part.source.name(int(index))]
        np.testing.assert_array_equal(prepared, images["input"])
        outputs = trained.reconstruct(prepared[None])[0]
        np.testing.assert_allclose(outputs, images["output"], atol=0.01)


def test_a_photo_that_the_crop_does_not_fit_is_refused(trained):
    config = trained.config.copy_and_resolve_references()
    native = TrainedVAE(config, trained.variables, 0)
    native.crop = "center"
    photo = np.arange(16 * 20 * 3, dtype=np.uint8).reshape(16, 20, 3)
    np.testing.assert_array_equal(native.prepare(photo), photo[:, 2:18])
    with pytest.raises(PhotoError, match="15×20 pixels is too small for the crop"):
        native.prepare(photo[1:])


# --- samples --------------------------------------------------------------------------


def test_the_same_key_gives_the_same_images(trained):
    first, again = (trained.sample(jax.random.key(1), 4) for _ in range(2))
    assert first.shape == (4, SIDE, SIDE, 3)
    np.testing.assert_array_equal(first, again)
    other = trained.sample(jax.random.key(2), 4)
    assert float(jnp.abs(first - other).max()) > 1.0
    assert float(jnp.abs(first[0] - first[1]).max()) > 1.0


def test_temperature_scales_the_codes(trained):
    average = trained.decode(np.zeros((1, LATENT)))
    frozen = trained.sample(jax.random.key(1), 4, temperature=0.0)
    np.testing.assert_allclose(frozen, jnp.tile(average, (4, 1, 1, 1)), atol=1e-3)
    distances = [
        float(jnp.abs(trained.sample(jax.random.key(1), 4, t) - average).mean())
        for t in (0.1, 0.5, 1.0)
    ]
    assert 0.0 < distances[0] < distances[1] < distances[2]


# --- evaluation -----------------------------------------------------------------------


@pytest.mark.extended
def test_evaluation_agrees_with_the_last_validation_of_training(trained, run, part):
    # Batches of other sizes, the same report: both must see all five photos.
    score = trained.evaluate(part, batch_size=4)
    during = run[1].metrics
    assert score.metrics["l1"].photos == 5
    assert all(np.isfinite(mean) for mean in score.scalars().values())
    for name, value in score.scalars().items():
        name = f"photo_{name}" if name in score.metrics else name
        assert value == pytest.approx(during[name], rel=1e-3, abs=1e-5), name


@pytest.mark.extended
def test_evaluation_of_a_trained_vae_is_the_same_twice(trained, part):
    first, again = (trained.evaluate(part).to_dict() for _ in range(2))
    assert first == again


def test_another_crop_can_be_asked_for(trained, part):
    photo = part.source[int(part.indices[0])]
    score = trained.evaluate(part, crop="center")
    shown = score.examples[part.source.name(int(part.indices[0]))]["input"]
    np.testing.assert_array_equal(shown, photo[2:18, 4:20])


@pytest.mark.extended
def test_whole_photos_are_refused(trained, part):
    with pytest.raises(ConfigError, match=r"a VAE takes photos of .* crop 'whole'"):
        trained.evaluate(part, crop="whole")


@pytest.mark.extended
def test_weights_of_a_vgg19_bring_frechet_distances(run, part, weights_file):
    trained = load_trained(run[0], weights_file)
    # The weights of a distance stand beside it in the result file.
    assert trained.record == trained.encoder.record
    assert len(trained.record["sha256"]) == 64
    assert isinstance(trained, TrainedVAE)
    assert trained.encoder.block == 3
    score = trained.evaluate(part)
    distances = score.to_dict()["vae"]["frechet_vgg19_block3"]
    assert distances.keys() == {"frechet_reconstructions", "frechet_samples"}
    assert all(0.0 < x < np.inf for x in distances.values())


# --- folders --------------------------------------------------------------------------


def test_a_run_of_another_system_is_refused_in_one_sentence(run, pair_workdir):
    with pytest.raises(ConfigError) as caught:
        load_vae(pair_workdir)
    assert str(caught.value) == (
        f"{pair_workdir} holds a run of the system 'unpooling', not of 'vae'"
    )
    with pytest.raises(ConfigError) as caught:
        load_pair(run[0])
    assert str(caught.value) == (
        f"{run[0]} holds a run of the system 'vae', not of 'unpooling'"
    )


def test_whatever_was_trained_is_loaded(run, pair_workdir, photos):
    source = make_source(f"folder:{photos}")
    for workdir, kind, step in ((run[0], TrainedVAE, 2), (pair_workdir, Pair, 1)):
        loaded = load_trained(workdir)
        assert type(loaded) is kind
        assert loaded.step == loaded.config.num_steps == step
        # What the commands call.
        prepared = loaded.prepare(source[0])
        assert loaded.reconstruct(prepared[None]).shape == (1, *prepared.shape)
        assert isinstance(loaded.record, dict)
        assert loaded.crop and loaded.image_size and loaded.describe()


@pytest.mark.parametrize("system", ["vae", "pair"])
@pytest.mark.extended
def test_an_evaluation_is_kept_whatever_was_evaluated(
    system, run, pair_workdir, photos, tmp_path
):
    loaded = load_trained(run[0] if system == "vae" else pair_workdir)
    source = make_source(f"folder:{photos}")
    score = loaded.evaluate(Split(source, np.arange(3)), image_size=SIDE)
    files = write_evaluation(tmp_path, loaded, score, {"source": "three photos"})
    pictures = [tmp_path / "pictures" / f"{name}.png" for name in score.pictures()]
    assert files == [tmp_path / "results.json", *pictures]
    results = json_file.read(files[0])
    assert results["source"] == "three photos"
    assert results["training_steps"] == loaded.step
    assert results["metrics"]["l1"]["mean"] == score.scalars()["l1"]
    assert results["metrics"]["l1"]["photos"] == 3
    assert results["provenance"]["config"]["system"] == loaded.config.system
    for path, picture in zip(pictures, score.pictures().values(), strict=True):
        np.testing.assert_array_equal(Image.open(path), picture)

    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard/evaluation")
    )
    tags = events.Reload().Tags()
    assert {name.split("/")[-1] for name in tags["scalars"]} == score.scalars().keys()
    assert {name.split("/")[-1] for name in tags["images"]} == score.pictures().keys()
    for tag in tags["scalars"]:
        (event,) = events.Scalars(tag)
        assert event.step == loaded.step
        wanted = score.scalars()[tag.split("/")[-1]]
        assert event.value == pytest.approx(wanted, rel=1e-6, nan_ok=True)


def test_folders_that_hold_no_vae_are_named(run, tmp_path):
    with pytest.raises(ConfigError, match="nowhere is no workdir of a run"):
        load_vae(tmp_path / "nowhere")
    shutil.copy(run[0] / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        load_trained(tmp_path)
