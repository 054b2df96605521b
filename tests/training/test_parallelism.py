"""`config.parallelism`: jit over a mesh gives pmap's bits and continues its runs."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from configs.vae import base as vae
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.training.checkpoints import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Runs in a process of its own: the number of devices is fixed when JAX starts.
PROGRAM = """
import json, pathlib, shutil, sys
import jax, ml_collections
from vgg_unpool_jax.systems import train_and_evaluate

config = ml_collections.ConfigDict(json.loads(sys.argv[1]))
folder = pathlib.Path(sys.argv[2])
metrics = []
for name, parallelism in (("pmap", "pmap"), ("jit", "jit"), ("both", "jit")):
    if name == "both":
        shutil.copytree(folder / "pmap", folder / "both")
        shutil.rmtree(folder / "both" / "checkpoints" / "6")
    config.parallelism = parallelism
    result = train_and_evaluate(config, folder / name)
    leaf = jax.tree.leaves(result.state.params)[0]
    assert len(leaf.sharding.device_set) == 4 and leaf.is_fully_replicated
    metrics.append(result.metrics)
print(json.dumps(metrics))
"""


def _vae_config(photos):
    config = vae.make_config(f"folder:{photos}", "", "runlocal")
    config.data.source = f"folder:{photos}"
    config.model.image_size = 16
    config.data.crop = config.evaluation.crop = "center_resize"
    config.data.split_fractions = (0.5, 0.5, 0.0)
    config.num_steps, config.checkpoints.every_steps = 6, 3
    return config


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("system", ["unpooling", "vae"])
def test_three_and_six_steps_on_four_devices(
    make_config, photos, tmp_path, assert_same_tree, system
):
    if system == "vae":  # with statistics that the devices average
        config = _vae_config(photos)
    else:  # with kernels that the devices divide, and with flips
        config = make_config(
            optimizer__name="muon", data__split_fractions=(0.5, 0.5, 0)
        )
    config.data.batch_size = config.evaluation.batch_size = 8
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(config.to_dict()), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    by_pmap, by_jit, by_both = json.loads(done.stdout.splitlines()[-1])
    assert by_pmap == by_jit == by_both
    states = {}
    for name in ("pmap", "jit", "both"):
        with Checkpoints(tmp_path / name, create=False) as saved:
            states[name] = [
                saved._restore(step, saved._saved_tree(step)) for step in (3, 6)
            ]
    assert_same_tree(states["jit"], states["pmap"])
    assert_same_tree(states["both"], states["pmap"])


def test_another_parallelism_is_refused(make_config, tmp_path):
    with pytest.raises(ConfigError, match="must be one of pmap, jit, got 'pjit'"):
        train_and_evaluate(make_config(parallelism="pjit"), tmp_path)
