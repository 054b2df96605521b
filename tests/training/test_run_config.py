"""The config that a workdir keeps."""

import json

import ml_collections
import pytest

from configs.unpooling.base import make_config
from configs.vae import base as vae
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems.vae.system import SYSTEM
from vgg_unpool_jax.training import run_config

# How fast, where and how loud; none of them changes a number that is trained.
FREE = {
    "convolution",
    "remat",
    "device_per_core",
    "parallelism",
    "data.num_workers",
    "data.num_threads",
    "data.prefetch",
    "data.cache_megabytes",
    "data.keep_on_device",
    "data.max_broken_share",
    "encoder.random_if_unavailable",
    "checkpoints.every_steps",
    "encoder.weights",
    "log_every_steps",
    "checkpoints.max_to_keep",
    "checkpoints.keep_best",
    "checkpoints.best_metric",
    "checkpoints.best_mode",
    "preparation.num_photos",
    "preparation.image_size",
    "preparation.batch_size",
}


def test_a_kept_config_comes_back_equal(tmp_path):
    config = make_config(3, "best")
    run_config.save(tmp_path / "new" / "folder", config)
    restored = run_config.read(tmp_path / "new" / "folder")
    wanted = json.loads(json.dumps(config.to_dict()))  # tuples become lists
    assert json.loads(json.dumps(restored.to_dict())) == wanted
    assert not list((tmp_path / "new" / "folder").glob(".*.part"))


def test_every_other_field_is_compared(tmp_path):
    """No field falls through, whatever section it is in."""
    config = make_config(1)
    run_config.save(tmp_path, config)
    flat = {
        f"{section}.{name}" if section else name: value
        for section, fields in [("", config), *config.items()]
        if isinstance(fields, ml_collections.ConfigDict)
        for name, value in fields.items()
        if not isinstance(value, ml_collections.ConfigDict)
    }
    assert set(flat) > FREE
    for field, value in flat.items():
        changed = make_config(1)
        with changed.unlocked(), changed.ignore_type():
            changed.update_from_flattened_dict({field: "something else"})
        if field in FREE:
            run_config.compare(tmp_path, changed)
            continue
        shown = list(value) if isinstance(value, tuple) else value
        with pytest.raises(ConfigError) as caught:
            run_config.compare(tmp_path, changed)
        assert f"({field} was {shown} and is something else)" in str(caught.value)


def test_a_field_that_only_one_config_has_is_named_as_absent(tmp_path):
    run_config.save(tmp_path, make_config(1))
    newer = make_config(1)
    with newer.unlocked():
        newer.loss.adversarial = 2.0
        del newer.loss.l2
    with pytest.raises(ConfigError) as caught:
        run_config.compare(tmp_path, newer)
    assert "loss.adversarial was absent and is 2.0" in str(caught.value)
    assert "loss.l2 was 1.0 and is absent" in str(caught.value)


def test_a_damaged_key_with_a_line_break_is_named_on_one_line(tmp_path):
    config = make_config(1)
    run_config.save(tmp_path, config)
    path = tmp_path / run_config.FILE
    path.write_text(path.read_text().replace('"convolution"', r'"c\nvolution"'))
    with pytest.raises(ConfigError) as caught:
        run_config.compare(tmp_path, config)
    assert r"c\nvolution was " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_from_before_a_field_goes_on_with_what_the_field_says(tmp_path):
    config = make_config(1)
    older = config.copy_and_resolve_references()
    with older.unlocked():
        del older.data.validation_source, older.optimizer.schedule, older.loss.lpips
    run_config.save(tmp_path, older)
    run_config.compare(tmp_path, config)
    config.optimizer.schedule = "constant"
    with pytest.raises(ConfigError, match="schedule was linear and is constant"):
        run_config.compare(tmp_path, config)


def test_what_a_parameter_means_does_not_hang_on_the_momentum_of_statistics(tmp_path):
    published, photos, larger = (
        vae.make_config("samples", "", variant) for variant in ("", "photos", "size128")
    )
    run_config.save(tmp_path, published)
    run_config.compare_models(tmp_path, photos, SYSTEM.model_fields)
    with pytest.raises(ConfigError, match=r"model.image_size was 64 and is 128"):
        run_config.compare_models(tmp_path, larger, SYSTEM.model_fields)
