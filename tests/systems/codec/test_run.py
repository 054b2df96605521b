"""The codec on the trainer: its configs, training, and what loads a run."""

import numpy as np
import pytest

from configs.codec import faces, photos
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.codec.objective import from_config, make_model


@pytest.mark.parametrize(
    ("module", "channels", "stride", "reach"),
    [(faces, 96, 8, 8), (photos, 384, 16, 8)],
)
def test_configs_hold_what_the_model_needs(module, channels, stride, reach):
    config = module.get_config()
    model = make_model(config)
    assert model.channels == channels and model.num_qualities == 8
    assert (model.stride, model.reach) == (stride, reach)
    sizes = [config.data.image_size, config.evaluation.image_size]
    sizes += [size for _, size, _ in config.data.stages]
    assert not any(size % model.hyper_stride for size in sizes)
    with pytest.raises(ValueError, match="'runlocal', got 'other'"):
        module.get_config("other")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train_and_evaluate(_config(), folder)
    return folder


def _config():
    config = faces.get_config("runlocal")
    config.num_steps = config.evaluation.every_steps = 120
    config.checkpoints.every_steps = 60
    config.optimizer.average_decay = 0.0
    config.optimizer.learning_rate = 3e-3
    return config


def test_training_improves_rate_and_distortion(workdir):
    source = make_source("samples")
    part = Split(source, np.arange(len(source)))
    start = workdir.parent / f"{workdir.name}-start"
    train_and_evaluate(_config(), start, max_minutes=0.0)  # one step
    costs = []
    for folder in (start, workdir):
        trained = load_trained(folder)
        points = trained.evaluate(part).to_dict()["estimated"]
        errors = [255**2 / 10 ** (point["psnr"] / 10) for point in points]
        rates = [point["bits_per_pixel"] for point in points]
        lambdas = _config().loss.lambdas
        costs.append(np.mean(rates) + np.mean(np.multiply(lambdas, errors)))
    assert costs[1] < 0.9 * costs[0]
    photo = source[0][:40, :50]
    assert trained.decompress(trained.compress(photo)).shape == photo.shape
    with pytest.raises(ConfigError, match="multiple of 32 pixels, got whole"):
        trained.evaluate(part, crop="whole")
    # Terms of the loss are not evaluated: no weights of their networks are needed.
    trained.config.loss.lpips = 20.0
    assert trained.evaluate(part).to_dict()["estimated"] == points


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss.lambdas", (0.1, 0.1), "positive and rising"),
        ("loss.rounding_from", 1.5, r"in \[0, 1\]"),
        ("num_steps", 0, "rounding_from is a share of num_steps"),
        ("model.checkerboards", 9, "model.checkerboards"),
    ],
)
def test_configs_that_cannot_be_used(field, value, message):
    config = faces.get_config("runlocal")
    config.loss.rounding_from = 0.5
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=message):
        from_config(config)
