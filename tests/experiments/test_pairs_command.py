"""`pairs` and `register_releases`, and docs/pairs.md as it stands there."""

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

from vgg_unpool_jax import load_pair
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases.register import register
from vgg_unpool_jax.releases.released import decoder_shapes
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
    """A folder in place of the package's: that decoder, and one that is planned."""
    package = tmp_path_factory.mktemp("package")
    shutil.copy(decoder, package)
    register(package, planned=[4], licence="MIT")
    return package


# Runs what it is given in one process of its own: flags of several commands do not go
# together in one, and a process for each line would take minutes.
DRIVER = """
import contextlib, io, json, pathlib, shlex, subprocess, sys, types

from absl import flags
from absl.testing import flagsaver

from experiments import pairs
from vgg_unpool_jax.weights import registry

package, blocks = json.loads(sys.argv[1])
registry.PACKAGE_FOLDER = pathlib.Path(package)
module = types.ModuleType("huggingface_hub")
module.snapshot_download = lambda *_, **__: "model"
sys.modules["huggingface_hub"] = module
names, told = {}, []


def run(line):
    name, *arguments = shlex.split(line, comments=True)[2:]
    if name != "experiments.pairs":
        command = [sys.executable, "-m", name, *arguments]
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
    "files": [path.name for path in names.get("files", [])],
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


# --- the document ---------------------------------------------------------------------


def test_every_block_of_the_document_runs(package, decoder, tmp_path):
    group = tmp_path / "runs" / "release"
    group.mkdir(parents=True)
    shutil.copy(decoder, group / "vgg19-block1-ours.safetensors")
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert text.count("```") == 2 * len(blocks)
    assert sorted(kind for kind, _ in blocks) == 3 * ["bash"] + 4 * ["python"]
    told = _drive(blocks, package, tmp_path)
    assert told["rebuilt"] == [1, 32, 48, 3]
    assert told["step"] == 4
    assert told["files"] == ["model.safetensors", "README.md", "config.json"]
    listed, shown, fetched, registered, folder, uploaded = told["lines"]
    rows = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert rows["vgg19-block1"][0] == "1"
    assert rows["vgg19-block1"][-2:] == ["MIT", "package"]
    assert rows["vgg19-block4"][-2:] == ["not", "published"]
    assert hashlib.sha256(decoder.read_bytes()).hexdigest() in shown
    assert fetched.strip() == str(package / decoder.name)
    assert registered.splitlines()[-1] == "runs/release/releases.json"
    assert folder.splitlines() == [f"model/{name}" for name in told["files"]]
    assert "would send to hf:group/pair: model.safetensors" in uploaded
    assert load_pair(tmp_path / "model").step == 4


# --- the commands ---------------------------------------------------------------------

REFUSED = [
    ("pairs", "ConfigError: wanted is one of: list | show NAME | fetch NAME"),
    ("pairs list vgg19-block1", "ConfigError: wanted is one of"),
    ("pairs sell vgg19-block1", "ConfigError: wanted is one of"),
    ("pairs show vgg19-none", "ReleaseError: there is no workdir and no released"),
    ("pairs fetch vgg19-block4", "ReleaseUnavailableError: the decoder vgg19-block4"),
    ("pairs fetch none.safetensors", "ReleaseError: there is no decoder file none"),
    ("pairs fetch .", "ConfigError: . is no released decoder"),
    (
        "pairs folder vgg19-block1 out --results=none.json",
        "ReleaseError: none.json cannot be read",
    ),
    ("pairs upload . hf:a/b --dry_run", "ReleaseError: . has no config.json"),
    ("pairs upload none hf:a/b --dry_run", "ReleaseError: there is no model folder"),
]


def test_what_pairs_does_and_refuses(package, decoder, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(decoder, theirs / "vgg19-block1-mine.safetensors")
    register(theirs, planned=[5])
    lines = [line for line, _ in REFUSED]
    lines += ["pairs folder vgg19-block1 half --dtype=float16"]
    lines += ["pairs folder vgg19-block1 other --licence=CC0"]
    lines += [f"pairs list --releases={theirs}"]
    text = "\n".join(f"python -m experiments.{line}" for line in lines)
    told = _drive([("bash", text)], package, tmp_path)["lines"]
    for (line, words), found in zip(REFUSED, told, strict=False):
        assert found.startswith(words), line
    *_, listed = told
    for name in ("vgg19-block1-mine", "vgg19-block1 ", "vgg19-block4", "vgg19-block5"):
        assert name in listed
    # The registry's licence goes into the card, unless another is named.
    assert 'license: "mit"' in (tmp_path / "half" / "README.md").read_text()
    assert 'license: "cc0"' in (tmp_path / "other" / "README.md").read_text()
    assert load_pair(tmp_path / "half").release["dtype"] == "float16"
    assert load_pair(tmp_path / "other").release["dtype"] == "float32"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--planned=4,6", "--planned takes blocks 1 to 5, got 6"),
        ("--address=x", "--elsewhere and --address belong together"),
    ],
)
def test_register_releases_refuses_in_one_sentence(argument, words, tmp_path):
    module = (sys.executable, "-m", "experiments.register_releases")
    done = _process(*module, f"--folder={tmp_path}", argument)
    assert (done.returncode, done.stderr) == (1, f"error: {words}\n")


def test_the_command_tells_of_the_package_and_errors_are_one_sentence():
    module = (sys.executable, "-m", "experiments.pairs")
    done = _process(*module, "show", "vgg19-block2")
    assert done.returncode == 0, done.stderr
    assert "4.539 (4.155 to 4.924)" in done.stdout
    done = _process(*module, "fetch", "vgg19-block5")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the decoder vgg19-block5 is not published")
    assert done.stderr.count("\n") == 1


def test_the_launcher_knows_them():
    told = _process(str(CHECKOUT / "launch.sh"), "help").stdout
    assert "\n  pairs " in told and "\n  register_releases\n" in told
