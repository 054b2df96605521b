"""The experiments as they are shipped."""

import importlib

import numpy as np
import pytest

from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems import train_and_evaluate

BLOCKS = [1, 2, 3, 4, 5]


def _module(block):
    return importlib.import_module(f"configs.vgg19_block{block}")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_default_is_the_published_recipe(block):
    config = _module(block).get_config()
    assert config.encoder.block == block
    assert config.loss.to_dict() == {
        "l1": 10.0,
        "l2": 1.0,
        "ms_ssim": 1000.0,
        "perceptual": 0.1,
        "lpips": 0.0,
        "lpips_vgg": 0.0,
        "dists": 0.0,
    }
    assert config.optimizer.name == "adam"
    assert config.optimizer.learning_rate == 1e-3
    assert config.optimizer.final_learning_rate == 2e-4
    assert (config.optimizer.b1, config.optimizer.b2) == (0.9, 0.999)
    assert config.data.flip
    assert config.data.split_fractions == (0.9, 0.09, 0.01)
    # The record of the experiment names its command.
    record = importlib.import_module(f"configs.unpooling.block{block}").__doc__
    assert f"--config=configs/vgg19_block{block}.py" in record


@pytest.mark.parametrize("block", BLOCKS)
def test_the_decoder_that_best_starts_from_comes_with_the_package(block):
    start = _module(block).get_config("best").initialize_shared_from
    assert (start == "") == (block == 1)
    if start:
        assert index.find(start).exists()


@pytest.mark.parametrize("variant", ["best", "best,gpu", "quickstart", "best,runlocal"])
def test_variants_can_be_joined_and_differ_from_the_default(variant):
    config = _module(1).get_config(variant)
    assert config.decoder.normalize_features
    samples = variant in ("quickstart", "best,runlocal")
    assert (config.data.source == "samples") == samples


def test_a_gpu_takes_the_best_recipe_in_larger_steps():
    best, gpu = (_module(3).get_config(name) for name in ("best", "best,gpu"))
    assert gpu.data.batch_size > best.data.batch_size
    assert gpu.compute_dtype == "bfloat16"
    for section in ("decoder", "loss", "optimizer", "encoder"):
        assert gpu[section].to_dict() == best[section].to_dict()


def test_an_unknown_variant_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="best, gpu, quickstart, runlocal, got 'bset'"):
        _module(1).get_config("bset")


@pytest.mark.extended
@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_runlocal_trains_as_it_is_shipped(block, tmp_path):
    result = train_and_evaluate(_module(block).get_config("runlocal"), tmp_path)
    assert int(result.state.step) == result.total_steps > 0
    assert np.isfinite(list(result.metrics.values())).all()
    assert {"ms_ssim_loss", "perceptual", "photo_ms_ssim"} <= set(result.metrics)
