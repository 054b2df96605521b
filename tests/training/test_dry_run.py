"""What a run would do is told without a step and without a file."""

import pytest

from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import find
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.dry_run import describe_run

SYSTEM = find("unpooling")


def test_config_parameters_and_stages_are_told_and_nothing_is_written(
    make_config, tmp_path
):
    config = make_config(data__stages=((0.5, 18, 4),), optimizer__learning_rate=0.125)
    lines = describe_run(config, tmp_path / "run", SYSTEM).splitlines()
    assert "optimizer.learning_rate = 0.125" in lines
    assert "photos: 7 train, 2 validation, 3 test" in lines
    # 3×3 kernels and biases of 64 to 64 and 64 to 3 channels.
    assert any(line.startswith("parameters: 38,659 (block1_conv1") for line in lines)
    assert any(line.startswith("steps 1 to 3: 2 photos of 16²") for line in lines)
    assert any(line.startswith("steps 4 to 6: 4 photos of 18²") for line in lines)
    assert lines[-1] == "6 steps, 2.6 passes over the training photos"
    assert not (tmp_path / "run").exists()


def test_a_workdir_without_a_checkpoint_takes_any_config(make_config, tmp_path):
    run_config.save(tmp_path, make_config())
    (tmp_path / run_config.CHECKPOINTS).mkdir()
    lines = describe_run(make_config(num_steps=7), tmp_path, SYSTEM).splitlines()
    assert lines[-1].startswith("7 steps")


def test_what_a_training_refuses_is_refused(make_config, uninterrupted):
    with pytest.raises(ConfigError, match="num_steps was 6 and is 7"):
        describe_run(make_config(num_steps=7), uninterrupted.workdir, SYSTEM)
    with pytest.raises(ConfigError, match="got 'sgd'"):
        describe_run(make_config(optimizer__name="sgd"), "/nowhere", SYSTEM)
