"""Trained generators: training as shipped, resuming, reports, files, the command."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from configs.deepsim import alexnet, autoencoder, vgg19
from results import package
from tests.experiments.commands import run_command
from vgg_unpool_jax import load_inverter
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import WeightsError
from vgg_unpool_jax.releases import file, index
from vgg_unpool_jax.releases.card import model_card
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.deepsim.release import card_parts
from vgg_unpool_jax.training.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(config, workdir, result) of an inverter of AlexNet's conv5."""
    config = alexnet.get_config("runlocal")
    workdir = tmp_path_factory.mktemp("run")
    return config, workdir, train_and_evaluate(config, workdir)


@pytest.fixture(scope="module")
def photos():
    source = make_source("samples")
    return np.stack([source[i][:64, :64] for i in range(2)])


@pytest.mark.extended
def test_an_interrupted_training_ends_in_the_same_bits(run, tmp_path, assert_same_tree):
    config, _, result = run
    state = result.state.model_state["deepsim"]
    assert {"discriminator_on", "generator_on", "discriminator_loss"} <= set(state)
    assert float(state["discriminator_loss"]) != 1.0
    train_and_evaluate(config, tmp_path, max_minutes=0.0)  # one step
    pieces = train_and_evaluate(config, tmp_path)
    assert_same_tree(pieces.state, result.state)
    with Checkpoints(tmp_path, create=False) as saved:
        _, model_state, _ = saved.restore_for_inference()
    assert_same_tree(model_state, jax.device_get(result.state.model_state))


@pytest.mark.extended
def test_the_rule_is_in_tensorboard(run, read_scalars):
    scalars = read_scalars(run[1])
    names = ("ratio", "discriminator_on", "generator_on", "adversarial", "feature")
    for name in names:
        assert len(scalars[f"train/{name}"]) == 4
    losses = [scalars[f"train/discriminator_{x}"][0][1] for x in ("real", "fake")]
    ratio = scalars["train/ratio"][1][1]  # decided by the step before
    adversarial = scalars["train/adversarial"][0][1]
    np.testing.assert_allclose(ratio, sum(losses) / adversarial, rtol=1e-4)


def test_a_release_inverts_as_the_run(run, photos, tmp_path):
    trained = load_trained(run[1])
    features = trained.encode(photos)
    assert features.shape == (2, 3, 3, 256)
    wanted = trained.reconstruct(photos)
    assert wanted.shape == photos.shape
    assert 0 <= wanted.min() and wanted.max() <= 255
    path = tmp_path / "inverter.safetensors"
    trained.export(path)
    released = load_inverter(path)
    np.testing.assert_allclose(released.invert(features), wanted, atol=1e-3)
    np.testing.assert_allclose(released.reconstruct(photos), wanted, atol=1e-3)
    stored = file.read(path)
    assert "discriminator" not in stored.variables["params"]
    parts = card_parts(stored.metadata, "alexnet-conv5")
    card = model_card(stored.metadata, name="alexnet-conv5", **parts)
    assert "load_inverter" in card and "torchvision, BSD" in card
    # Inverting needs no weights, encoding those of the training.
    lost = load_inverter(path, tmp_path / "none.safetensors")
    np.testing.assert_allclose(lost.invert(features), wanted, atol=1e-3)
    with pytest.raises(WeightsError, match="no weight file"):
        lost.encode(photos)


def test_eight_bits_are_near(run, photos, tmp_path):
    trained = load_inverter(run[1])
    path = tmp_path / "small.safetensors"
    trained.export(path, dtype="int8")
    stored = file.read(path).variables["params"]["generator"]["stack"]
    assert stored["up1"]["kernel"].shape[:2] == (4, 4)
    found = load_inverter(path).reconstruct(photos)
    error = np.abs(found - trained.reconstruct(photos)).mean()
    assert 0 < error < 3
    full = tmp_path / "full.safetensors"
    trained.export(full)
    assert path.stat().st_size < 0.4 * full.stat().st_size


def test_rounds_and_interpolations_begin_with_the_reconstruction(run, photos):
    trained = load_inverter(run[1])
    rounds = trained.rounds(photos, 3)
    once = np.asarray(trained.reconstruct(photos))
    np.testing.assert_array_equal(rounds[0], once)
    np.testing.assert_array_equal(rounds[2], trained.reconstruct(rounds[1]))
    frames = trained.interpolate(*photos, steps=5)
    np.testing.assert_allclose(frames[[0, -1]], once, atol=1e-3)
    assert np.abs(frames[2] - frames[0]).max() > 0.1


def test_evaluate_reports_inversion_errors(run):
    source = make_source("samples")
    part = Split(source, np.arange(len(source)))
    found = load_inverter(run[1]).evaluate(part)
    numbers = found.to_dict()["deepsim"]
    assert 0 < numbers["feature_error"] and 0 < numbers["image_error"]
    assert -1 <= found.metrics["feature_cosine"].mean <= 1
    assert "image space" in found.report() and "spectrum" in found.pictures()


@pytest.mark.extended
@pytest.mark.parametrize(
    "config",
    [
        autoencoder.get_config("squared_error,runlocal"),
        vgg19.get_config("block1,runlocal,feature"),
    ],
    ids=["autoencoder", "vgg19"],
)
def test_generators_without_discriminator_train(config, tmp_path, photos):
    config.data.image_size = config.evaluation.image_size = 32
    config.num_steps = config.evaluation.every_steps = 12
    config.optimizer.learning_rate = 2e-3
    if not config.loss.feature:
        config.comparator.network = ""
    result = train_and_evaluate(config, tmp_path)
    assert set(result.state.params) == {"generator"}
    assert result.metrics["generator_loss"] > 0
    trained = load_inverter(tmp_path)
    images = photos[:, :32, :40]
    assert trained.reconstruct(images).shape == images.shape


@pytest.mark.extended
def test_invert_writes_what_the_library_makes(run, photos, tmp_path):
    folder, output = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name, photo in zip("ab", photos, strict=True):
        Image.fromarray(photo).save(folder / f"{name}.png")
    done = run_command(
        "invert",
        *(f"--model={run[1]}", f"--input={folder / 'a.png'}", f"--output={output}"),
        *("--rounds=2", f"--nearest=folder:{folder}"),
    )
    assert done.returncode == 0, done.stderr
    wanted = load_inverter(run[1]).rounds(photos[:1], 2)
    with Image.open(output / "a.png") as picture:
        assert np.abs(np.asarray(picture) - wanted[0][0]).max() < 1
    with Image.open(output / "a_grid.png") as picture:
        grid = np.asarray(picture)
    assert grid.shape == (64, 4 * 64 + 3 * 2, 3)
    np.testing.assert_array_equal(grid[:, :64], photos[0])
    assert np.abs(grid[:, 132:196].astype(float) - wanted[1][0]).max() < 1
    # The nearest of both photos, by pixels.
    errors = [np.square(wanted[0][0] - photo).mean() for photo in photos]
    np.testing.assert_array_equal(grid[:, 198:], photos[int(np.argmin(errors))])


@pytest.mark.extended
def test_a_generator_is_put_into_the_package_once(run, photos, tmp_path, monkeypatch):
    packaged, folder = tmp_path / "packaged", tmp_path / "photos"
    packaged.mkdir()
    folder.mkdir()
    for name, photo in zip("ab", photos, strict=True):
        Image.fromarray(photo).save(folder / f"{name}.png")
    (packaged / index.FILE).write_text('{"format_version": 1, "models": {}}')
    ours = index.PACKAGE
    monkeypatch.setattr(index, "PACKAGE", packaged)
    monkeypatch.setattr(package.documents, "write", lambda: None)
    arguments = [str(run[1]), "--name=invert-conv5", f"--photos={folder}"]
    arguments.append("--dtype=int8")
    assert package.main(arguments) == 0
    entry = index.read(packaged)["invert-conv5"]
    assert entry.facts["metrics"]["l1"]["photos"] == 2
    assert entry.facts["dtype"] == "int8"
    # An equal one stays.
    assert package.main(arguments) == package.STAYS
    monkeypatch.setattr(index, "PACKAGE", ours)
    with pytest.raises(SystemExit):
        package.main([*arguments, "--name=vae-faces"])


@pytest.mark.extended
def test_evaluate_writes_the_numbers(run, tmp_path):
    output = tmp_path / "results.json"
    done = run_command(
        "evaluate", f"--workdir={run[1]}", "--source=samples", f"--output={output}"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    assert results["deepsim"]["image_error"] > 0
