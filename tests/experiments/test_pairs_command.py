"""`pairs`, and the commands and programs of docs/pairs.md as they stand there."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import ml_collections
import numpy as np
import pytest

from tests.experiments.commands import run_command
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.systems.unpooling.pair import Pair

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "pairs.md"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """The file of a block-1 decoder that was trained with random weights."""
    encoder = {"block": 1, "weights": "random", "random_seed": 0}
    config = {"system": "unpooling", "encoder": encoder, "decoder": {}}
    variables = {"params": {}}
    for name, shape in decoder_shapes(1, {}).items():
        _, layer, kind = name.split("/")
        variables["params"].setdefault(layer, {})[kind] = np.full(shape, 0.01, "f4")
    weights = random_vgg19_weights(0, block=1)
    path = tmp_path_factory.mktemp("decoder") / "vgg19-block1.safetensors"
    Pair(ml_collections.ConfigDict(config), weights, variables, 4).export(path)
    return path


@pytest.fixture(scope="module")
def package(decoder, tmp_path_factory):
    """A folder in place of the package's: that decoder, and one not published yet."""
    package = tmp_path_factory.mktemp("package")
    shutil.copy(decoder, package)
    index.register(package / decoder.name, licence="MIT")
    tree = json.loads((package / index.FILE).read_text())
    tree["models"]["vgg19-block4"] = {"file": "vgg19-block4.safetensors"}
    (package / index.FILE).write_text(json.dumps(tree))
    return package


# Runs what it is given in one process of its own: flags of several commands do not go
# together in one, and a process for each line would take minutes.
DRIVER = """
import contextlib, io, json, pathlib, shlex, subprocess, sys

import huggingface_hub
from absl import flags
from absl.testing import flagsaver

from experiments import pairs
from vgg_unpool_jax.releases import index

package, blocks = json.loads(sys.argv[1])
index.PACKAGE = pathlib.Path(package)
huggingface_hub.hf_hub_download = lambda *_, **__: "model/model.safetensors"
names, told = {}, []


def run(line):
    module, name, *arguments = shlex.split(line, comments=True)[2:]
    if name != "pairs":
        command = [sys.executable, "-m", module, name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
    output = io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stdout(output):
        pairs.main(flags.FLAGS([name, *arguments])[1:])
    return output.getvalue()


for kind, content in blocks:
    if kind == "python":
        exec(compile(content, "block", "exec"), names)
        continue
    for line in content.splitlines():
        try:
            told.append(run(line))
        except ValueError as error:
            told.append(f"{type(error).__name__}: {error}")
pair = names.get("pair")
shown = {
    "lines": told,
    "step": pair and pair.step,
    "rebuilt": pair and names["rebuilt"].shape,
}
print(json.dumps(shown))
"""


def _process(*arguments, cwd=CHECKOUT):
    environment = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        arguments,
        cwd=cwd,
        env=os.environ | environment | {"VGG_UNPOOL_RELEASES": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def _drive(blocks, package, cwd):
    task = json.dumps([str(package), blocks])
    done = _process(sys.executable, "-c", DRIVER, task, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


REFUSED = [
    ("pairs", "ConfigError: expected one of: list | show NAME | fetch NAME"),
    ("pairs show vgg19-none", "ReleaseError: there is no workdir and no released"),
    ("pairs upload . hf:a/b --dry_run", "ReleaseError: . is no model folder"),
]


@pytest.mark.extended
def test_every_block_of_the_document_runs_and_more_lines_of_pairs(
    package, decoder, tmp_path
):
    group, theirs = tmp_path / "runs" / "release", tmp_path / "theirs"
    for name in (group / "vgg19-block1-ours", theirs / "vgg19-block1-mine"):
        name.parent.mkdir(parents=True)
        shutil.copy(decoder, f"{name}.safetensors")
    index.register(theirs / "vgg19-block1-mine.safetensors")
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert text.count("```") == 2 * len(blocks)
    assert sorted(kind for kind, _ in blocks) == 3 * ["bash"] + 3 * ["python"]
    more = ["pairs folder vgg19-block1 half --dtype=float16"]
    more += ["pairs folder vgg19-block1 other --licence=CC0"]
    more += [f"pairs list --releases={theirs}", *(line for line, _ in REFUSED)]
    lines = "\n".join(f"python -m vgg_unpool_jax {line}" for line in more)
    told = _drive([*blocks, ("bash", lines)], package, tmp_path)
    assert told["rebuilt"] == [1, 32, 48, 3]
    assert told["step"] == 4
    listed, shown, fetched, registered, folder, uploaded = told["lines"][:6]
    rows = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert rows["vgg19-block1"][-2:] == ["MIT", "package"]
    assert rows["vgg19-block4"][-2:] == ["not", "published"]
    assert hashlib.sha256(decoder.read_bytes()).hexdigest() in shown
    assert fetched.strip() == str(package / decoder.name)
    assert registered == "vgg19-block1-ours: runs/release/releases.json\n"
    files = ["model.safetensors", "README.md", "config.json"]
    assert folder.splitlines() == [f"model/{name}" for name in files]
    assert "would send to hf:group/pair: model.safetensors" in uploaded
    assert load_pair(tmp_path / "model").step == 4
    _, _, listed, *refused = told["lines"][6:]
    for name in ("vgg19-block1-mine", "vgg19-block1 ", "vgg19-block4"):
        assert name in listed
    for (line, words), found in zip(REFUSED, refused, strict=True):
        assert found.startswith(words), line
    # The registry's licence goes into the card, unless another is named.
    assert "license: mit" in (tmp_path / "half" / "README.md").read_text()
    assert "license: cc0" in (tmp_path / "other" / "README.md").read_text()
    assert load_pair(tmp_path / "half").release["dtype"] == "float16"
    assert load_pair(tmp_path / "other").release["dtype"] == "float32"


def test_the_command_tells_of_the_package_and_errors_are_one_sentence(tmp_path):
    done = run_command("pairs", "show", "vgg19-block2", VGG_UNPOOL_RELEASES="")
    assert done.returncode == 0, done.stderr
    l1 = index.read(index.PACKAGE)["vgg19-block2"].facts["metrics"]["l1"]
    low, high = l1["interval"]
    assert f"{l1['mean']:.3f} ({low:.3f} to {high:.3f})" in done.stdout
    entry = {"file": "vgg19-soon.safetensors", "sha256": None, "remedy": "wait"}
    entries = {"format_version": 1, "models": {"vgg19-soon": entry}}
    (tmp_path / index.FILE).write_text(json.dumps(entries))
    arguments = "pairs", "fetch", "vgg19-soon", f"--releases={tmp_path}"
    done = run_command(*arguments, VGG_UNPOOL_RELEASES="")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the model vgg19-soon is not published yet: wait, name its file"
    )
    assert done.stderr.count("\n") == 1
