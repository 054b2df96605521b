"""The second system on the same trainer."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from configs.vae import base as vae_configs
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.vae.objective import VAEObjective

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIDE = 16


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Seven photos in two class folders."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(3)
    for number in range(7):
        path = folder / ("cake" if number % 2 else "soup") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        coarse.resize((20, 20)).save(path)
    return folder


@pytest.fixture(scope="module")
def make_vae_config(photos):
    """A function (variant, fields) -> config of a run of four steps."""

    def make(variant="", validation_source="", **fields):
        config = vae_configs.make_config(
            f"folder:{photos}", validation_source, f"{variant},runlocal"
        )
        config.data.source = f"folder:{photos}"
        config.data.validation_source = validation_source
        config.model.image_size = SIDE
        config.model.encoder_channels = (4, 6)
        config.model.decoder_channels = (6, 4)
        config.data.crop = "random_resize:0.5"
        config.data.split_fractions = (0.5, 0.5, 0.0)
        config.evaluation.crop = "center_resize"
        # Six validation photos in batches of four: the second has padding.
        config.evaluation.batch_size = 4
        config.checkpoints.every_steps = 2
        config.checkpoints.max_to_keep = 10
        with config.unlocked():
            config.update_from_flattened_dict(
                {name.replace("__", "."): value for name, value in fields.items()}
            )
        return config

    return make


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("", id="published"),
        pytest.param("beta", id="beta", marks=pytest.mark.extended),
    ],
)
def run(request, make_vae_config, tmp_path_factory):
    """A finished run of each loss: (config, workdir, result, traces of training)."""
    traces = []
    losses = VAEObjective.losses

    def counted(self, params, model_state, batch, keys, train):
        traces.append(train)
        return losses(self, params, model_state, batch, keys, train)

    config = make_vae_config(request.param)
    workdir = tmp_path_factory.mktemp("vae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VAEObjective, "losses", counted)
        result = train_and_evaluate(config, workdir)
    return config, workdir, result, sum(traces)


@pytest.mark.extended
def test_a_vae_trains_and_its_step_is_traced_once(run):
    _, _, result, traces = run
    assert int(result.state.step) == result.total_steps == 4
    assert traces == 2  # by the check at the start, which compiles nothing, and then


@pytest.mark.extended
def test_validation_tells_the_numbers_of_the_whole_set(run):
    metrics = run[2].metrics
    wanted = {
        "pcc",
        "ssim_zero_padded",
        "mse",
        "elbo",
        "kl",
        "active_units",
        "photo_psnr",
    }
    assert wanted <= set(metrics)
    assert np.isfinite(list(metrics.values())).all()
    assert -1 <= metrics["pcc"] <= 1
    # Two ways to the same number: a mean over photos, and the posteriors of all.
    assert metrics["mse"] == pytest.approx(metrics["photo_l2"] / 255**2, rel=1e-4)


@pytest.mark.extended
def test_every_number_and_picture_is_in_tensorboard(run, read_events):
    config, workdir, _, _ = run
    tags = read_events(workdir / "tensorboard").Tags()
    rates = {"train/learning_rate"}
    if config.loss.name == "published":
        rates = {"train/learning_rate/encoder", "train/learning_rate/decoder"}
        assert {"train/encoder_loss", "train/decoder_loss"} <= set(tags["scalars"])
    assert rates | {"validation/pcc", "validation/active_units"} <= set(tags["scalars"])
    pictures = {"samples", "interpolation", "kl_per_dimension", "latent_map"}
    assert pictures | {"validation/reconstructions"} <= set(tags["images"])
    files = {path.name for path in (workdir / "pictures").iterdir()}
    assert {f"{name}_00000004.png" for name in pictures} <= files


@pytest.mark.extended
def test_an_interrupted_vae_ends_in_the_same_bits(run, tmp_path, assert_same_tree):
    config, _, result, _ = run
    first = train_and_evaluate(config, tmp_path, max_minutes=0.0)
    assert int(first.state.step) == 1
    pieces = train_and_evaluate(config, tmp_path)
    assert int(pieces.state.step) == 4
    assert_same_tree(pieces.state, result.state)
    assert pieces.metrics == result.metrics


@pytest.mark.extended
def test_validation_photos_of_their_own_are_all_used(
    make_vae_config, classes, tmp_path
):
    config = make_vae_config(
        validation_source=f"folder:{classes}", data__split_fractions=(1.0, 0.0, 0.0)
    )
    config.num_steps = 1
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        from vgg_unpool_jax.systems.vae.report import VAEReport

        pictures = VAEReport.pictures

        def record(self, params, model_state, collected, labels):
            seen.append((len(collected["mean"]), labels))
            return pictures(self, params, model_state, collected, labels)

        patch.setattr(VAEReport, "pictures", record)
        train_and_evaluate(config, tmp_path)
    (count, labels), *more = seen
    assert not more
    # In the order of the paths: cake/1, 3, 5, then soup/0, 2, 4, 6.
    assert (count, labels) == (7, ["cake"] * 3 + ["soup"] * 4)


def test_an_image_size_that_the_model_does_not_take_is_refused(
    make_vae_config, tmp_path
):
    config = make_vae_config().copy_and_resolve_references()
    config.evaluation.image_size = 32
    with pytest.raises(ConfigError, match=r"evaluation.image_size is 32: .* 16, 3\)"):
        train_and_evaluate(config, tmp_path)
    assert not (tmp_path / "config.json").exists()


# Runs in a process of its own: the number of devices is fixed when JAX starts.
STATISTICS = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
from vgg_unpool_jax.systems.vae.model import VAE
from vgg_unpool_jax.systems.vae.objective import BetaLoss, VAEObjective
from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.optimizers import Optimizer
from vgg_unpool_jax.training.state import create_train_state
from vgg_unpool_jax.training.step import make_train_step

assert jax.device_count() == 2
model = VAE(8, 3, (4, 6), (6, 4), 10)
objective = VAEObjective(model, BetaLoss(1.0, 0, 0.0))
rng = np.random.default_rng(0)
dark, bright = rng.integers(0, 60, (4, 8, 8, 3)), rng.integers(190, 255, (4, 8, 8, 3))
images = np.concatenate([dark, bright]).astype(np.uint8)
params, model_state = objective.init(jax.random.key(0), {"image": images[:4] * 1.0})
sgd = optax.sgd(0.0)
state = create_train_state(params, model_state, sgd, averaged=False)
step = parallel.parallelize_step(make_train_step(
    objective, Optimizer(sgd, {}), lambda keys, x: dict(x), average_decay=0.0))
batch = parallel.shard_batch({"image": images, "index": np.arange(len(images))})
state, _ = step(parallel.replicate(state), parallel.replicate({}), batch,
                jax.random.key(0))

def alone(images):
    apply = jax.jit(lambda x: model.apply({"params": params, **model_state}, x,
                                          train=True, mutable=["batch_stats"]))
    _, updated = apply(images * 1.0)
    return updated["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]

ours = state.model_state["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]
one, two = alone(images[:4]), alone(images[4:])
assert float(jnp.abs(one - two).max()) > 0.1
np.testing.assert_allclose(ours, (one + two) / 2, rtol=1e-4, atol=1e-6)
print("averaged")
"""


@pytest.mark.extended
def test_running_statistics_are_averaged_over_devices():
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", STATISTICS],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "averaged"
