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
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
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
    assert set(blocks) == {"restore_decoder.py", "make_examples.py", "finetune.py"}
    assert DOCUMENT.read_text(encoding="utf-8").count("```python") == len(blocks)
    for name, content in blocks.items():
        (folder / name).write_text(content)
    return folder


def _run(folder, name, *arguments, alone):
    start = ["-c", f"import sys; del sys.argv[0]\n{ALONE}"] if alone else []
    path = str(folder) if alone else os.pathsep.join([str(folder), str(CHECKOUT)])
    done = subprocess.run(
        [sys.executable, *start, str(folder / name), *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workdir(make_config, tmp_path_factory):
    """A block-2 run as training leaves it, with moments and averaged parameters."""
    workdir = tmp_path_factory.mktemp("run")
    config = make_config(2, encoder__weights="random")
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
    run_config.save(workdir, config)
    record = {"vgg19": weights_record(random_vgg19_weights(0, block=2))}
    with Checkpoints(workdir) as saved:
        for step in (1, 2):
            step = np.asarray(step, np.int32)
            state = dataclasses.replace(state, step=step, average=average)
            saved.save(state, record)
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
    assert (before.step, after.step) == (2, 5)
    assert after.record == before.record
    same = jax.tree.map(
        np.array_equal,
        before.decoder_variables["statistics"],
        after.decoder_variables["statistics"],
    )
    assert all(jax.tree.leaves(same))


def test_what_it_writes_has_our_checksums(finetuned):
    _, output = finetuned
    checksums = output / "checkpoints" / "5" / "checksums" / "metadata"
    names = json.loads(checksums.read_text())
    assert {"record", "step", KERNEL, "model_state/statistics/feature_rms"} <= set(
        names
    )
    with Checkpoints(output, create=False) as saved:
        saved.restore_for_inference()
    changed = output.with_name("changed")
    shutil.copytree(output, changed)
    path = changed / "checkpoints" / "5" / "checksums" / "metadata"
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


RESTORE = """
import json, sys
from restore_decoder import restore_decoder, shapes
wanted = json.loads(sys.argv[2])
wanted = {name: tuple(shape) for name, shape in wanted.items()} if wanted else None
try:
    variables = restore_decoder(sys.argv[1], wanted)
except ValueError as error:
    print(error)
else:
    print(json.dumps(shapes(variables)))
"""


def _wanted(block):
    return decoder_shapes(block, {"normalize_features": True, "output_scale": 64.0})


@pytest.mark.parametrize("block", [2, 3])
def test_the_doc_refuses_another_block_with_the_names_of_the_arrays(
    block, programs, workdir
):
    (programs / "restore.py").write_text(RESTORE)
    wanted, there = _wanted(block), _wanted(2)
    told = _run(programs, "restore.py", workdir, json.dumps(wanted), alone=True)
    if block == 2:
        found = {name: tuple(shape) for name, shape in json.loads(told).items()}
        assert found == there
        return
    differing = [n for n in wanted | there if wanted.get(n) != there.get(n)]
    assert len(differing) >= 5
    for name in differing:
        assert (
            f"{name} is {there.get(name, 'absent')}, expected "
            f"{wanted.get(name, 'absent')}" in told
        )
    same = "params/block1_conv1/kernel"
    assert same not in told
