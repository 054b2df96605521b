"""Trained restorers: training as shipped, tiles, levels, files, commands, tables."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from configs.restoration import base, photos
from results import blocks, package
from tests.experiments.commands import run_command
from vgg_unpool_jax import load_restorer
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.file import read_metadata
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.restoration import table
from vgg_unpool_jax.systems.restoration.release import card_parts
from vgg_unpool_jax.systems.restoration.restorer import ESTIMATOR_SCALE
from vgg_unpool_jax.systems.restoration.trained import TrainedRestorer


@pytest.fixture(scope="module")
def photo():
    coarse = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    image = Image.fromarray(coarse).resize((250, 210), Image.Resampling.BICUBIC)
    return np.asarray(image)


@pytest.fixture(scope="module")
def restorer():
    """Two levels, random parameters everywhere: every part has an effect."""
    config = photos.get_config("runlocal")
    config.model.widths, config.model.blocks = (6, 8), (1, 1)
    images = np.zeros((1, 64, 64, 3), np.float32)
    model = TrainedRestorer(config, {"params": {}}, 0).model
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: rng.normal(0, 0.4 / max(1, x.size) ** 0.25, x.shape), shapes
    )
    head = variables["params"]["estimator"]["output"]
    head["bias"] = np.array([0.3, 0.2])
    variables = jax.tree.map(lambda x: x.astype(np.float32), variables)
    return TrainedRestorer(config, variables, 7)


def test_tiles_equal_the_whole_photo(restorer, photo):
    whole = restorer.restore(photo, tile=0)
    assert whole.shape == photo.shape and np.abs(whole - photo).max() > 5
    tiled = restorer.restore(photo, tile=160)
    np.testing.assert_allclose(tiled, whole, atol=1e-3)
    levels = restorer.estimate(photo, tile=0)
    np.testing.assert_allclose(restorer.estimate(photo, tile=160), levels, rtol=1e-5)


def test_grey_photos_stay_grey(restorer, photo):
    grey = np.repeat(photo[..., :1], 3, axis=-1)
    restored = restorer.restore(grey)
    assert (restored == restored[..., :1]).all()
    assert np.ptp(restorer.restore(photo), axis=-1).max() > 1


def test_the_estimate_does_not_see_the_padding():
    # At 130 pixels 62 rows and columns are padded, in which JPEG's blocks are mirrored.
    restorer = load_restorer("restore-photos")
    photo = make_source("samples")[0][:130, :130]
    compressed = make_damage("jpeg:20")(photo, np.random.default_rng(0)).photo
    alone = restorer.estimate(compressed[:128, :128])
    padded = restorer.estimate(compressed)
    assert abs(padded.quality - alone.quality) < 4


def test_no_output_depends_on_pixels_beyond_the_margin(restorer):
    model, margin = restorer.model, restorer.model.margin
    side = 2 * margin + 64
    middle = np.zeros((1, side, side, 3), np.float32)
    middle[:, side // 2, side // 2] = 255.0

    def reach(changed, scale):
        places = np.nonzero(changed.any(-1)[0])
        centre = side // 2 // scale
        return max(np.abs(axis - centre).max() for axis in places) * scale

    vector = np.full((1, 2), 0.5, np.float32)
    apply = jax.jit(
        lambda x: model.apply(restorer.variables, x, vector, method="restore")
    )
    changed = np.asarray(apply(middle)) != np.asarray(apply(0 * middle))
    assert 8 < reach(changed, 1) <= margin
    apply = jax.jit(lambda x: model.apply(restorer.variables, x, method="features"))
    changed = np.asarray(apply(middle)) != np.asarray(apply(0 * middle))
    assert 0 < reach(changed, ESTIMATOR_SCALE) <= margin


def test_levels_are_estimated_or_set(restorer, photo):
    noise, quality = restorer.estimate(photo)
    assert noise > 0 and quality < 100
    blind = restorer.restore(photo)
    told = restorer.restore(photo, noise=noise, quality=quality)
    np.testing.assert_allclose(told, blind, atol=0.01)
    other = restorer.restore(photo, noise=40)
    assert np.abs(other - blind).max() > 0.1
    # Strength is a factor on both.
    stronger = restorer.restore(photo, noise=20, quality=80, strength=2.0)
    wanted = restorer.restore(photo, noise=40, quality=60)
    np.testing.assert_allclose(stronger, wanted, atol=0.01)
    for options in ({"noise": -1}, {"quality": 0}, {"strength": -1}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))} must lie in"):
            restorer.restore(photo, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The workdir of the shipped experiment on photos, as small as it gets."""
    workdir = tmp_path_factory.mktemp("run")
    result = train_and_evaluate(photos.get_config("runlocal"), workdir)
    assert int(result.state.step) == 4
    assert {"photo_psnr", "psnr", "noise_error", "loss"} <= set(result.metrics)
    return workdir


def test_a_release_restores_as_the_run(run, photo, tmp_path):
    trained = load_restorer(run)
    assert isinstance(load_trained(run), TrainedRestorer) and trained.is_blind
    path = tmp_path / "restorer.safetensors"
    trained.export(path)
    wanted = trained.restore(photo)
    usage = card_parts(read_metadata(path), "restorer")["usage"]
    assert 'restorer = load_restorer("restorer")' in usage and "noise=15" in usage[-1]
    np.testing.assert_array_equal(load_restorer(path).restore(photo), wanted)
    with pytest.raises(ConfigError, match="needs no weights"):
        load_restorer(run, "weights.h5")


@pytest.mark.extended
def test_a_better_restorer_comes_into_the_package(run, photo, tmp_path, monkeypatch):
    packaged, photos_folder = tmp_path / "package", tmp_path / "photos"
    for folder in (packaged, photos_folder):
        folder.mkdir()
    (packaged / index.FILE).write_text('{"format_version": 1, "models": {}}')
    Image.fromarray(photo).save(photos_folder / "a.png")
    monkeypatch.setattr(index, "PACKAGE", packaged)
    monkeypatch.setattr(package.documents, "write", lambda: None)
    arguments = [
        *(str(run), "--name=restore-photos", f"--photos={photos_folder}"),
        *("--crop=whole", "--damage=noise:25:unclipped"),
    ]
    assert package.main(arguments) == 0
    released = load_restorer("restore-photos")
    np.testing.assert_allclose(
        released.restore(photo), load_restorer(run).restore(photo), atol=0.5
    )
    (card,) = blocks.cards().values()
    assert "damage `noise:25:unclipped`" in card and "| PSNR, dB |" in card
    # The same is not better.
    assert package.main(arguments) == package.STAYS


@pytest.mark.extended
def test_restore_writes_what_the_library_makes(run, photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "a.png")
    done = run_command(
        "restore",
        *(f"--model={run}", f"--input={folder}", f"--output={tmp_path / 'out'}"),
        *("--strength=0.5", "--noise=10", "--grid"),
    )
    assert done.returncode == 0, done.stderr
    trained = load_restorer(run)
    quality = trained.estimate(photo).quality
    assert f"JPEG quality {quality:.0f}" in done.stdout
    with Image.open(tmp_path / "out" / "a.png") as picture:
        wanted = trained.restore(photo, noise=10, strength=0.5)
        assert np.abs(np.asarray(picture) - wanted).max() < 1
    assert (tmp_path / "out" / "a_grid.png").exists()


@pytest.mark.extended
def test_evaluate_restoration_writes_its_report(run, photo, tmp_path):
    folder, report = tmp_path / "photos", tmp_path / "report"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "a.png")
    done = run_command(
        "evaluate_restoration",
        *(f"--model={run}", f"--photos=folder:{folder}", f"--output={report}"),
        "--damage=noise:25:unclipped,jpeg:10",
    )
    assert done.returncode == 0, done.stderr
    for name in ("noise-25-unclipped", "jpeg-10"):
        part = report / f"folder-photos-{name}"
        results = json.loads((part / "results.json").read_text())
        assert results["metrics"][str(run)]["psnr"]["photos"] == 1
        for row in (part / "table.md").read_text().splitlines()[2:]:
            assert row in done.stdout
        assert (part / "page.jpg").exists()


def test_tables_measure_what_is_saved(tmp_path, photo):
    from skimage.metrics import peak_signal_noise_ratio

    Image.fromarray(photo).save(tmp_path / "a.png")
    source, damage = (
        make_source(f"folder:{tmp_path}"),
        make_damage("noise:20:unclipped"),
    )
    seen = []

    def method(damaged):
        seen.append(damaged)
        return damaged.photo / 2 + 60

    (score,) = table.score_photos({"half": method}, source, damage, seed=3)
    saved = np.rint(seen[0].photo / 2 + 60).clip(0, 255).astype(np.uint8)
    wanted = peak_signal_noise_ratio(photo, saved)
    np.testing.assert_allclose(score.metrics["half"]["psnr"], wanted, rtol=1e-4)
    assert (score.noise, score.quality) == (20, 100)
    np.testing.assert_array_equal(score.pictures["half"], saved)
    (gray,) = table.score_photos({}, source, damage, seed=3, gray=True)
    luma = np.asarray(Image.fromarray(photo).convert("L")) * 219.0 / 255.0 + 16.0
    assert np.abs(gray.pictures["photo"][..., 1] - luma).max() <= 1
    # One field of noise: the mean of three would be 4.8 dB better.
    np.testing.assert_allclose(gray.metrics["damaged"]["psnr"], 22.1, atol=0.3)
    text = table.restoration_table(table.summarize_scores([score]))
    assert f"| half | {wanted:.2f} | too few photos |" in text


@pytest.mark.extended
@pytest.mark.parametrize("variant", ["runlocal", "basic21,runlocal"])
def test_damaged_faces_train_as_shipped(variant, tmp_path, photo):
    config = base.make_faces("block:32", variant)
    result = train_and_evaluate(config, tmp_path)
    assert np.isfinite(list(result.metrics.values())).all()
    trained = load_restorer(tmp_path)
    restored = trained.restore(photo[:37, :41])
    assert restored.shape == (37, 41, 3) and np.ptp(restored, axis=-1).max() > 0
    grey = trained.restore(np.repeat(photo[:37, :41, :1], 3, axis=-1))
    assert np.ptp(grey, axis=-1).max() == 0
    with pytest.raises(ConfigError, match="neither estimates nor takes"):
        trained.restore(photo, noise=3)
    split = Split(make_source(config.data.source), np.arange(2))
    assert trained.evaluate(split).metrics["psnr"].photos == 2
