"""docs/orbax.md as it stands: programs with orbax alone, without this package.

Its fenced Python blocks begin with a comment that names a file; the tests write these
files and run them.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from vgg_unpool_jax import load_pair
from vgg_unpool_jax.errors import CheckpointError
from vgg_unpool_jax.pretrained.recorded import weights_record
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.training import parallel, run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.integrity import leaves_by_name
from vgg_unpool_jax.training.state import create_train_state

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "orbax.md"
KERNEL = "params/block2_conv1/kernel"

# Runs a program in which this package cannot be imported.
ALONE = """
import runpy, sys
sys.modules["vgg_unpool_jax"] = None
runpy.run_path(sys.argv[0], run_name="__main__")
there = [name for name in sys.modules if name.startswith("vgg_unpool_jax.")]
assert not there, there
assert "orbax.checkpoint" in sys.modules
"""


def _blocks():
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(# (\w+\.py).*?)^```$", text, re.DOTALL | re.M)
    return {name: content for content, name in blocks}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with the programs of the document."""
    folder = tmp_path_factory.mktemp("programs")
    blocks = _blocks()
    assert set(blocks) == {
        *("restore_all.py", "restore_decoder.py", "make_examples.py", "finetune.py")
    }
    assert DOCUMENT.read_text(encoding="utf-8").count("```python") == len(blocks)
    for name, content in blocks.items():
        (folder / name).write_text(content)
    return folder


def _run(folder, name, *arguments, alone, devices=1):
    start = ["-c", f"import sys; del sys.argv[0]\n{ALONE}"] if alone else []
    path = str(folder) if alone else os.pathsep.join([str(folder), str(CHECKOUT)])
    flags = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, *start, str(folder / name), *map(str, arguments)],
        cwd=folder,
        env=os.environ
        | {
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": path,
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {flags}",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(2, encoder__weights="random")


@pytest.fixture(scope="module")
def state(config):
    """Of a block-2 run, with moments and averaged parameters."""
    generator = np.random.default_rng(4)
    tree = {}
    for name, shape in decoder_shapes(2, config.decoder.to_dict()).items():
        collection, *place = name.split("/")
        if collection == "params":
            layer = tree.setdefault(place[0], {})
            layer[place[1]] = 0.03 * generator.standard_normal(shape, np.float32)
    rms = generator.uniform(1, 50, 128).astype(np.float32)
    model_state = {"statistics": {"feature_rms": rms}}
    state = create_train_state(tree, model_state, optax.adam(0.1), averaged=True)
    average = jax.tree.map(lambda leaf: 0.9 * leaf, state.average)
    return dataclasses.replace(state, step=np.asarray(2, np.int32), average=average)


@pytest.fixture(scope="module")
def workdir(config, state, tmp_path_factory):
    """The run as training leaves it."""
    workdir = tmp_path_factory.mktemp("run")
    run_config.save(workdir, config)
    record = {"vgg19": weights_record(random_vgg19_weights(0, block=2))}
    with Checkpoints(workdir) as saved:
        for step in (1, 2):
            at_step = dataclasses.replace(state, step=np.asarray(step, np.int32))
            # As a training step returns it: on every device of this process.
            saved.save(parallel.replicate(at_step), record)
    return workdir


@pytest.fixture(scope="module")
def images():
    """two photos with smooth parts."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
    return np.asarray(jax.image.resize(coarse, (2, 16, 16, 3), "cubic")).clip(0, 255)


@pytest.fixture(scope="module")
def finetuned(programs, workdir, images):
    """What the programs print, and the workdir that they write."""
    np.save(programs / "images.npy", images)
    _run(
        programs,
        "make_examples.py",
        workdir,
        "images.npy",
        "examples.npz",
        alone=False,
    )
    output = programs / "new"
    told = _run(programs, "finetune.py", workdir, "examples.npz", output, alone=True)
    losses = [float(line.split()[-1]) for line in told.splitlines()]
    return losses, output


def _l1(pair, images):
    return float(np.mean(np.abs(pair.decode(*pair.encode(images)) - images)))


@pytest.mark.extended
def test_another_program_fine_tunes_the_decoder_and_writes_it_back(
    finetuned, workdir, images
):
    losses, output = finetuned
    assert len(losses) == 4
    # Its decoder is ours, at the start (the averaged parameters) and in the end.
    before, after = load_pair(workdir), load_pair(output)
    assert losses[0] == pytest.approx(_l1(before, images), rel=1e-4)
    assert losses[3] == pytest.approx(_l1(after, images), rel=1e-4)
    assert losses[3] < losses[0] * 0.999
    assert (before.step, after.step) == (2, 3)
    assert after.record == before.record
    same = jax.tree.map(
        np.array_equal,
        before.decoder_variables["statistics"],
        after.decoder_variables["statistics"],
    )
    assert all(jax.tree.leaves(same))


@pytest.mark.extended
def test_what_it_writes_has_our_checksums(finetuned):
    _, output = finetuned
    checksums = output / "checkpoints" / "3" / "checksums" / "metadata"
    names = json.loads(checksums.read_text())
    assert {"record", "step", KERNEL, "model_state/statistics/feature_rms"} <= set(
        names
    )
    with Checkpoints(output, create=False) as saved:
        saved.restore_for_inference()
    changed = output.with_name("changed")
    shutil.copytree(output, changed)
    path = changed / "checkpoints" / "3" / "checksums" / "metadata"
    path.write_text(json.dumps(names | {KERNEL: names[KERNEL] ^ 1}))
    with pytest.raises(CheckpointError, match=rf"damaged: {KERNEL} is not what"):
        load_pair(changed)


@pytest.mark.extended
def test_it_initializes_a_run_and_is_none(finetuned, make_config, tmp_path):
    _, output = finetuned
    fields = {"num_steps": 1, "evaluation__every_steps": 1}
    config = make_config(2, initialize_from=str(output), **fields)
    train_and_evaluate(config, tmp_path / "from")
    with pytest.raises(CheckpointError, match=r"average/block1_conv1/bias is absent"):
        train_and_evaluate(make_config(2, num_steps=9), _as_run(output, tmp_path))


def _as_run(output, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(output, copy)
    (copy / "config.json").unlink()
    return copy


# Every way in which other code is likely to read, each without a tree of its own.
READ = """
import sys
import numpy as np, orbax.checkpoint as ocp, orbax.checkpoint.experimental.v1 as v1
import jax
folder, expected, devices = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
assert jax.device_count() == devices
step = folder + "/2"
def restore(args=None):
    with ocp.CheckpointManager(folder) as manager:
        return manager.restore(2, args=args)
states = [
    restore()["state"],
    restore(ocp.args.Composite(state=ocp.args.StandardRestore()))["state"],
    restore(ocp.args.Composite(state=ocp.args.PyTreeRestore()))["state"],
    ocp.StandardCheckpointer().restore(step + "/state"),
    v1.load(step, checkpointable_name="state"),
    v1.load_checkpointables(step)["state"],
]
with v1.training.Checkpointer(folder) as newest:
    states.append(newest.load_checkpointables()["state"])
for state in states:
    for name, array in expected.items():
        found = state
        for key in name.split("/"):
            found = found[int(key)] if isinstance(found, (list, tuple)) else found[key]
        assert type(found) is np.ndarray and found.dtype == array.dtype, name
        np.testing.assert_array_equal(found, array)
assert restore()["record"]["vgg19"]["origin"] == "random:seed=0"
assert set(restore()["checksums"]) == {"record", *expected}
assert v1.load_checkpointables(step)["record"] == dict(restore()["record"])
print(len(states))
"""


@pytest.mark.extended
def test_orbax_alone_reads_all_on_other_devices(programs, workdir, state, tmp_path):
    np.savez(tmp_path / "expected.npz", **dict(leaves_by_name(vars(state))))
    (programs / "read.py").write_text(READ)
    arguments = (workdir / "checkpoints", tmp_path / "expected.npz", 3)
    read = _run(programs, "read.py", *arguments, alone=True, devices=3)
    assert read.split() == ["7"]
    told = _run(programs, "restore_all.py", workdir, alone=True, devices=3)
    assert told.splitlines() == ["random:seed=0 2", "(3, 3, 64, 3)"]
