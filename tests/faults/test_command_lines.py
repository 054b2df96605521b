"""Command lines that are refused before any work, in one sentence each."""

import json
import os
import pathlib
import subprocess
import sys

import ml_collections
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.systems.unpooling.pair import Pair, load_pair

pytestmark = pytest.mark.extended

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# One process imports the libraries, its children run one command line each.
_PROGRAM = """
import gc, json, os, runpy, shlex, sys, traceback
sys.path.insert(0, sys.argv[1])
import vgg_unpool_jax.applications.stylization.files, vgg_unpool_jax.systems.results
import vgg_unpool_jax.applications.stylization.report
import vgg_unpool_jax.applications.editing.strips, vgg_unpool_jax.pretrained.conversion
import vgg_unpool_jax.applications.stylization.video
import vgg_unpool_jax.systems.unpooling.page, vgg_unpool_jax.systems.unpooling.release
import vgg_unpool_jax.systems.vae.trained, vgg_unpool_jax.data.reader_processes
from experiments.cli import command
gc.freeze()
told = []
for line in json.loads(sys.argv[2]):
    name, *arguments = shlex.split(line)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os.close(reader)
        sys.argv = [name, *arguments]
        try:
            runpy.run_module("experiments." + name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            os._exit(end.code)  # without the interpreter's cleaning up, a second
        except BaseException:
            traceback.print_exc()
        os._exit(9)
    os.close(writer)
    with os.fdopen(reader) as file:
        error = file.read()
    told.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pair, weights, photos, a film of frames and a mask."""
    tmp_path = tmp_path_factory.mktemp("work")
    encoder = {"block": 1, "weights": "random", "random_seed": 0}
    config = {"system": "unpooling", "encoder": encoder, "decoder": {}}
    params = {}
    for name, shape in decoder_shapes(1, {}).items():
        _, layer, kind = name.split("/")
        params.setdefault(layer, {})[kind] = np.full(shape, 0.01, "f4")
    weights = random_vgg19_weights(0, block=1)
    pair = Pair(ml_collections.ConfigDict(config), weights, {"params": params}, 4)
    pair.export(tmp_path / "d.safetensors")
    save_safetensors(weights, tmp_path / "w.safetensors")
    photos = (
        "c s o_grid m out/c out/0001 film/0001 e_evaluation run/pictures/validation_2"
    )
    names = [f"{name}.png" for name in photos.split()]
    names += ["all/block1.jpg", "p/content/page.jpg", "p/style/page.jpg"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (16, 16), (200, 100, 50)).save(path)
    (tmp_path / "f").mkdir()
    for name in ("f.json", "f/config.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


_STYLIZE = "stylize --pairs=d.safetensors"
_FILM = "stylize_video --pairs=d.safetensors --content=film"
_DECODER = "export --format=safetensors --part=decoder --workdir=d.safetensors"
_EDIT = "edit --pair=d.safetensors --input=c.png"
_TRAIN = "train --config=vgg19_block1:runlocal --workdir"
_EVALUATE = "evaluate --workdir=d.safetensors"
OVERWRITING = [
    f"{_STYLIZE} --content=c.png --style=s.png --output=s.png",
    f"{_STYLIZE} --content=c.png --style=s.png --output=c.png",
    f"{_STYLIZE} --content=c.png --style=o_grid.png --output=o.png --grid",
    f"{_STYLIZE} --content=c.png --style=out/c.png --output=out",
    f"{_STYLIZE} --content=c.png --style=s.png --output=m.png --content_mask=m.png",
    f"{_STYLIZE} --content=c.png --style=s.png --output=m.png --style_mask=m.png",
    f"{_STYLIZE} --content=c.png --style=s.png --output=o.png"
    " --save_style=d.safetensors",
    f"{_FILM} --style=out/0001.png --output=out",
    f"{_FILM} --style=s.png --output=film",
    "convert_weights --input=w.safetensors --output=w.safetensors",
    "convert_weights --input=w.safetensors --output=~/w.safetensors",
    f"{_STYLIZE} --content=~/c.png --style=s.png --output=./c.png",
    f"{_EDIT} --edit=swap --second=s.png --output=s.png",
    f"{_EDIT} --edit=swap --second=out/0001.png --output=o.png --frames=out",
    "reconstruct --workdir=d.safetensors --input=out --output=out",
    f"{_EVALUATE} --output=d.safetensors --source=folder:film",
    f"{_EVALUATE} --output=e.json --source=folder:.",
    "evaluate_style --pairs=p --output=p/content",
    f"{_DECODER} --output=d.safetensors",
    f"{_DECODER} --output=w.safetensors --weights=w.safetensors",
    f"{_DECODER} --output=f.json --facts=f.json",
    f"{_TRAIN}=run --config.data.source=folder:run",
    "pairs page d.safetensors --source=folder:all --output=all",
    "pairs folder d.safetensors f --results=f/config.json",
]


_BOTH = f"{_STYLIZE} --content=c.png --style=s.png"
OTHERS = {
    f"{_STYLIZE} --content= --style=s.png --output=o.png": "--content is empty",
    f"{_BOTH} --output=": "--output is empty",
    f"{_BOTH} --output=o.png --style=s.png,": "--style has an empty entry",
    "reconstruct --workdir=w --input= --output=o": "--input is empty",
    "train --config=vgg19_block1 --workdir=": "--workdir is empty",
    f"{_BOTH} --output=o.png --alpha=nan": "--alpha must be finite, got nan",
    f"{_FILM} --style=s.png --output=o --cut=inf": "--cut must be finite, got inf",
    f"{_EDIT} --edit=scale --output=o.png --factors=1,nan": "--factors must be finite",
    f"{_TRAIN}=w --config.optimizer.b1=inf --config.data.source=folder:film": (
        "optimizer.b1 must be finite"
    ),
    f"{_TRAIN}=w --config.checkpoints.max_to_keep=0 --config.data.source=folder:film": (
        "checkpoints.max_to_keep must be at least 1, got 0"
    ),
    f"{_TRAIN}=w --config.data.sorce=a": "data.sorce: did you mean data.source?",
    f"{_TRAIN}=w --config.dta.source=a": "dta.source: did you mean data.source?",
    "train --config=vgg19_blok1 --workdir=w": "did you mean vgg19_block1?",
    "train --config=vgg19_block1:bets --workdir=w": "variant must be one of best, gpu",
    f"{_BOTH} --output=o.tga": "o.tga cannot be written: its name must end in one of",
    f"{_STYLIZE} --content=film --style=s.png --output=o.png": "o.png would be a fol",
    "reconstruct --workdir=d.safetensors --input=c.png --output=o.tif": (
        "o.tif would be a folder with the name of a file"
    ),
    f"{_EDIT} --edit=drop --output=strip.gif": "strip.gif cannot be written",
    f"{_BOTH} --output=c.png/o.png": "c.png is a file, where a folder",
    f"{_BOTH} --output=o.png --save_style=s.png/s.safetensors": "s.png is a file, whe",
    f"{_EVALUATE} --source=folder:film --output=f.json/r": "f.json is a file, whe",
    "evaluate_style --pairs=p --output=f.json": "f.json is not a folder",
    "export --workdir=d.safetensors --format=orbax --output=f.json/x": "f.json is a f",
}


@pytest.fixture(scope="module")
def refused(folder):
    """Status and standard error of each command line, after which no file differs."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    lines = [*OVERWRITING, *OTHERS]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(CHECKOUT), json.dumps(lines)],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    return dict(zip(lines, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.fault("an output is an input")
@pytest.mark.parametrize("line", OVERWRITING)
def test_no_command_writes_a_file_that_it_reads(line, refused):
    status, told = refused[line]
    assert status == 1 and told.count("\n") == 1, told
    assert "would overwrite a file that is read" in told


def test_a_tilde_is_the_home_folder_in_the_library_too(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert load_pair("~/d.safetensors", "~/w.safetensors").step == 4
    assert len(make_source("folder:~/film")) == 1


@pytest.mark.fault("a command line is nonsense")
@pytest.mark.parametrize("line", OTHERS)
def test_nonsense_is_one_sentence_before_the_work(line, refused):
    status, told = refused[line]
    assert status == 1 and told.count("\n") == 1, told
    assert told.startswith("error: ") and OTHERS[line] in told
