"""The commands on a VAE, as a user runs them: train, evaluate, sample, reconstruct."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from configs.unpooling import base as unpooling
from tests.experiments.commands import run_command
from vgg_unpool_jax.evaluation.pictures import square_grid
from vgg_unpool_jax.systems.vae.trained import load_vae
from vgg_unpool_jax.training import run_config

pytestmark = pytest.mark.extended

SIDE = 16


def _assert_one_sentence(done, words):
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


def _read(path):
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


def _assert_alike(picture, images):
    """Up to the rounding of two programs that add up in another order."""
    images = np.rint(np.asarray(images, np.float32))
    assert picture.shape == images.shape
    assert np.abs(picture.astype(np.float32) - images).max() <= 1.0


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
def workdir(photos, tmp_path_factory):
    """Folder of a run of two steps; read it, do not write into it."""
    workdir = tmp_path_factory.mktemp("run") / "w"
    done = run_command(
        "train",
        "--config=configs/vae_coco.py:runlocal",
        f"--workdir={workdir}",
        f"--config.data.source=folder:{photos}",
        # Four to train on, five to validate on and none to test on.
        "--config.data.split_fractions=(0.45, 0.55, 0.0)",
        "--config.num_steps=2",
        f"--config.model.image_size={SIDE}",
        # Two photos a batch have statistics that other photos do not fit.
        "--config.model.batch_norm_momentum=0.9",
        "--config.evaluation.crop=center_resize:22",
    )
    assert done.returncode == 0, done.stderr
    assert "step 2 of 2" in done.stdout
    return workdir


@pytest.fixture(scope="module")
def vae(workdir):
    return load_vae(workdir)


def test_training_draws_what_the_vae_has_learnt(workdir):
    written = {path.name for path in (workdir / "pictures").iterdir()}
    names = ("samples", "interpolation", "traversal", "kl_per_dimension", "latent_map")
    assert {f"{name}_00000002.png" for name in names} <= written
    assert {"train_00000002.png", "validation_00000002.png"} <= written


# --- sample ---------------------------------------------------------------------------


def test_sample_writes_a_grid_of_the_prior(workdir, vae, tmp_path):
    output = tmp_path / "deep" / "grid.png"
    done = run_command(
        "sample",
        f"--workdir={workdir}",
        f"--output={output}",
        "--num=5",
        "--seed=3",
        "--scale=2",
        "--temperature=0.5",
    )
    assert done.returncode == 0, done.stderr
    assert f"picture: {output}" in done.stdout
    assert "VAE of 16×16 images" in done.stdout
    images = vae.sample(jax.random.key(3), 5, 0.5)
    picture = _read(output)
    # Three columns and two rows, two white pixels around each image.
    assert picture.shape == (2 * 34 + 2, 3 * 34 + 2, 3)
    _assert_alike(picture, square_grid(np.asarray(images), scale=2))
    assert np.abs(np.asarray(images[0] - images[1])).max() > 3.0


def test_sample_walks_between_photos(workdir, vae, photos, tmp_path):
    # Photos behind the flag and other flags behind the photos.
    paths = [photos / name for name in ("even/0.png", "odd/1.png", "even/2.png")]
    done = run_command(
        "sample",
        f"--workdir={workdir}",
        "--interpolate",
        *paths,
        "--steps=3",
        f"--output={tmp_path / 'walk.png'}",
    )
    assert done.returncode == 0, done.stderr
    picture = _read(tmp_path / "walk.png")
    assert picture.shape == (SIDE, 5 * (SIDE + 2) - 2, 3)
    frames = [picture[:, i * (SIDE + 2) :][:, :SIDE] for i in range(5)]
    images = np.stack([vae.prepare(_read(path)) for path in paths])
    means = np.asarray(vae.encode(images)[0])
    between = (means[:-1] + means[1:]) / 2
    _assert_alike(np.stack(frames[::2]), vae.reconstruct(images))
    _assert_alike(np.stack(frames[1::2]), vae.decode(between))


def test_a_run_of_another_system_has_no_samples(tmp_path):
    run_config.save(tmp_path / "pair", unpooling.make_config(1, "runlocal"))
    output = tmp_path / "x.png"
    done = run_command("sample", f"--workdir={tmp_path / 'pair'}", f"--output={output}")
    _assert_one_sentence(done, "holds a run of the system 'unpooling', not of 'vae'")


# --- evaluate -------------------------------------------------------------------------


def test_evaluate_writes_results_and_pictures(workdir, vae, photos, tmp_path):
    copy = tmp_path / "w"
    without = shutil.ignore_patterns("pictures", "tensorboard")
    shutil.copytree(workdir, copy, ignore=without)
    done = run_command("evaluate", f"--workdir={copy}", "--part=validation")
    assert done.returncode == 0, done.stderr
    results = json.loads((copy / "results.json").read_text())
    assert results["source"] == f"validation part of folder {photos}"
    assert results["crop"] == "center_resize:22"
    assert results["image_size"] == SIDE
    assert results["training_steps"] == 2
    assert results["vgg19_weights"] == {}
    assert results["too_small"] == results["broken"] == {}
    assert results["provenance"]["config"]["system"] == "vae"
    for name in ("l1", "l2", "psnr", "ssim"):
        assert results["metrics"][name]["photos"] == 5
    own = results["vae"]
    assert own["metrics"].keys() == {
        "photo_pcc",
        "ssim_zero_padded",
        "mse",
        "elbo",
        "log_likelihood",
        "kl",
    }
    for summary in own["metrics"].values():
        assert summary["photos"] == 5 and summary["interval"] is None
    assert own["metrics"]["elbo"]["mean"] == pytest.approx(
        own["metrics"]["log_likelihood"]["mean"] - own["metrics"]["kl"]["mean"]
    )
    assert own["calibrated_elbo"] > own["metrics"]["elbo"]["mean"]
    assert -1.0 <= own["pcc"] <= 1.0
    assert len(own["latents"]["kl_per_dimension"]) == vae.latent_size
    assert own["frechet_vgg19_block3"] == {}  # without --weights

    pictures = copy / "pictures"
    assert {path.stem for path in pictures.iterdir()} == {
        "evaluation",
        "samples",
        "interpolation",
        "traversal",
        "kl_per_dimension",
        "latent_map",
        "latent_tsne",
    }
    for path in pictures.iterdir():
        assert str(path) in done.stdout
        assert _read(path).min() < _read(path).max(), path
    for words in ("L1", "ELBO", "PCC over all values", "active units", "VAE of 16×16"):
        assert words in done.stdout
    assert "Fréchet" not in done.stdout
    assert list((copy / "tensorboard").rglob("events.out.tfevents.*"))


def test_what_cannot_be_evaluated_is_one_sentence(workdir, tmp_path):
    output = tmp_path / "results.json"
    done = run_command("evaluate", f"--workdir={workdir}", f"--output={output}")
    _assert_one_sentence(done, "no photos in its test part: take another --part")
    assert not output.exists()


# --- reconstruct ----------------------------------------------------------------------


def test_reconstruct_cuts_photos_as_evaluation_does(workdir, vae, photos, tmp_path):
    output = tmp_path / "rebuilt"
    done = run_command(
        "reconstruct",
        f"--workdir={workdir}",
        f"--input={photos}",
        f"--output={output}",
        "--grid",
    )
    assert done.returncode == 0, done.stderr
    assert "[9/9]" in done.stdout
    names = {str(path.relative_to(photos)) for path in photos.rglob("*.png")}
    written = {str(path.relative_to(output)) for path in output.rglob("*.png")}
    assert written == names | {name.replace(".png", "_grid.png") for name in names}
    for name in names:
        prepared = vae.prepare(_read(photos / name))
        _assert_alike(_read(output / name), vae.reconstruct(prepared[None])[0])
        grid = _read(output / name.replace(".png", "_grid.png"))
        np.testing.assert_array_equal(grid[:, :SIDE], prepared)
        assert grid.shape == (SIDE, 3 * SIDE + 2 * 4, 3)


def test_a_photo_that_the_crop_does_not_fit_costs_no_other(workdir, tmp_path):
    # The run, as if its evaluation cut the centre without scaling; two photos.
    run = tmp_path / "native"
    shutil.copytree(workdir, run)
    config = json.loads((run / "config.json").read_text())
    config["evaluation"]["crop"] = "center"
    (run / "config.json").write_text(json.dumps(config))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(mixed / "large.png")
    Image.fromarray(pixels[:10]).save(mixed / "a_small.png")
    output = tmp_path / "rebuilt"
    done = run_command(
        "reconstruct", f"--workdir={run}", f"--input={mixed}", f"--output={output}"
    )
    _assert_one_sentence(done, "a_small.png: a photo of 10×20 pixels is too small")
    assert [path.name for path in output.iterdir()] == ["large.png"]
