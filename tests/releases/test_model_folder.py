"""Model folders as the Hugging Face Hub has them: written, read back, refused."""

import dataclasses
import hashlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import types

import ml_collections
import numpy as np
import pytest
import yaml

from vgg_unpool_jax import load_pair, load_trained
from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.releases import hub
from vgg_unpool_jax.releases.model_config import FILES
from vgg_unpool_jax.releases.model_folder import results_of, write_model_folder
from vgg_unpool_jax.releases.registry import Release
from vgg_unpool_jax.releases.released import decoder_shapes, find_release
from vgg_unpool_jax.systems.results import results_file
from vgg_unpool_jax.systems.unpooling.pair import Pair

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = {
    "metrics": {
        "l1": {"mean": 2.5, "interval": [2, 3], "photos": 9},
        "psnr": {"mean": 36.25, "interval": [36, 37], "photos": 9},
        "border_l1": {"mean": 2.0, "interval": None, "photos": 9},
    },
    "training_steps": 4,
    "source": "folder:/home/me/coco",
}


@pytest.fixture(scope="module")
def pair():
    """A block-1 pair with random weights."""
    section = {"normalize_features": True, "output_scale": 64.0}
    config = ml_collections.ConfigDict(
        {
            "system": "unpooling",
            "encoder": {"block": 1, "weights": "random", "random_seed": 0},
            "decoder": section,
        }
    )
    generator = np.random.default_rng(2)
    variables = {"params": {}, "statistics": {"feature_rms": np.full(64, 9.0, "f4")}}
    for name, shape in decoder_shapes(1, section).items():
        collection, *place = name.split("/")
        if collection == "params":
            layer = variables["params"].setdefault(place[0], {})
            layer[place[1]] = 0.05 * generator.standard_normal(shape, np.float32)
    return Pair(config, random_vgg19_weights(0, block=1), variables, 4)


@pytest.fixture
def folder(pair, tmp_path):
    """That pair as a model folder."""
    options = {"results": RESULTS, "licence": "MIT", "dtype": "float16"}
    files = write_model_folder(pair, tmp_path / "model", **options)
    assert [file.name for file in files] == list(FILES)
    return tmp_path / "model"


def _photos():
    return np.random.default_rng(1).integers(0, 256, (1, 12, 9, 3), np.uint8)


def test_it_is_read_back_by_both_loaders_and_written_again_alike(
    pair, folder, tmp_path
):
    wanted = np.asarray(pair.reconstruct(_photos()))
    for load in (load_pair, load_trained):
        loaded = load(folder)
        assert (loaded.block, loaded.step) == (1, 4)
        found = np.asarray(loaded.reconstruct(_photos()))
        assert 0 < np.abs(found - wanted).max() < 0.5  # rounded to float16
    # A pair that comes from a file keeps its dtype.
    options = {"results": RESULTS, "licence": "MIT"}
    write_model_folder(loaded, tmp_path / "again", **options)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    exact = write_model_folder(pair, tmp_path / "exact")[0].parent
    np.testing.assert_array_equal(load_pair(exact).reconstruct(_photos()), wanted)
    with pytest.raises(ValueError, match="--output"):
        results_file(folder)


def test_its_model_is_the_file_of_a_released_decoder(pair, folder, tmp_path):
    pair.export(tmp_path / "a.safetensors", dtype="float16")
    model = folder / "model.safetensors"
    assert model.read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert config["model"]["size"] == model.stat().st_size
    assert (config["block"], config["dtype"]) == (1, "float16")
    assert config["decoder"]["output_scale"] == 64.0


def test_the_card_has_a_header_that_the_hub_reads(folder):
    text = (folder / "README.md").read_text()
    _, header, card = re.split(r"^---$", text, maxsplit=2, flags=re.M)
    header = yaml.safe_load(header)
    assert header["license"] == "mit"
    assert header["library_name"] == "vgg_unpool_jax"
    assert {"jax", "vgg19"} <= set(header["tags"])
    assert header["metrics"] == ["l1", "psnr"]
    (model,) = header["model-index"]
    (result,) = model["results"]
    assert model["name"] == "vgg19-block1"
    assert result["task"]["type"] == "image-to-image"
    assert result["dataset"]["name"] == "folder:coco"
    assert {m["type"]: m["value"] for m in result["metrics"]} == {
        "l1": 2.5,
        "psnr": 36.25,
    }
    assert card.strip().startswith("# vgg19-block1")
    assert 'load_pair("FOLDER")' in card and "- This decoder: MIT." in card
    assert "/home/me" not in text


def test_what_is_not_known_is_left_out_of_the_header(pair, tmp_path):
    card = write_model_folder(pair, tmp_path)[1].read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert not {"license", "metrics", "model-index"} & set(header)
    assert "Not evaluated." in card


def test_results_of_a_registry_stand_in_the_card(pair, tmp_path):
    metrics = RESULTS["metrics"]
    told = {"source": "folder:coco", "of_this_file": True}
    entry = Release("vgg19-block1", 1, "f", "00", step=4, metrics=metrics)
    assert results_of(Release("vgg19-block1", 1, "f")) is None
    results = results_of(entry)
    assert results["training_steps"] == 4
    assert "released_decoder" not in results
    results = results_of(dataclasses.replace(entry, evaluated_on=told))
    options = {"dtype": "float16", "results": results}
    card = write_model_folder(pair, tmp_path / "a", **options)[1].read_text()
    assert "Measured before" not in card
    with pytest.raises(ReleaseError, match="of another decoder"):
        results["training_steps"] = 5
        write_model_folder(pair, tmp_path / "b", results=results)
    assert not (tmp_path / "b").exists()


def test_a_folder_of_something_else_is_not_written_to(pair, tmp_path, assert_refused):
    for content in ("{}", '{"model_type": "bert"}', "{"):
        (tmp_path / "config.json").write_text(content)
        words = (tmp_path, "take another folder")
        assert_refused(
            lambda: write_model_folder(pair, tmp_path), *words, error=ReleaseError
        )
        assert (tmp_path / "config.json").read_text() == content


# --- what is refused ------------------------------------------------------------------


def _config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _flip(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def _pointer(folder):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 80000\n"
    (folder / "model.safetensors").write_text(text)


DAMAGE = {
    "another block": (lambda f: _config(f, block=2), ["of block 1", "says block 2"]),
    "changed": (_flip, ["SHA-256", "do not belong together"]),
    "half a download": (_cut, ["bytes: it was not downloaded whole"]),
    "newer": (
        lambda f: _config(f, format_version=2),
        ["format version 2", "a newer release"],
    ),
    "no config": (lambda f: (f / "config.json").unlink(), ["no config.json", "half"]),
    "no hash": (lambda f: _config(f, model={}), ["does not say which file"]),
    "no json": (lambda f: (f / "config.json").write_text("{"), ["as JSON"]),
    "no model": (lambda f: (f / "model.safetensors").unlink(), ["is missing"]),
    "of another library": (
        lambda f: _config(f, model_type="bert"),
        ["'bert'", "no model folder of vgg_unpool_jax"],
    ),
    "pointer": (_pointer, ["Git LFS", "git lfs pull"]),
}


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_half_and_changed_folders_are_refused(kind, folder, assert_refused):
    damage, words = DAMAGE[kind]
    damage(folder)
    assert_refused(lambda: load_pair(folder), folder, *words, error=ReleaseError)


def test_other_folders_are_no_model_folders(tmp_path):
    assert find_release(tmp_path) is None
    (tmp_path / "config.json").write_text('{"system": "unpooling"}')
    assert find_release(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    assert find_release(tmp_path) is None  # a run's, which says so in its own words


def test_weights_of_another_origin_are_refused(folder, tmp_path):
    other = random_vgg19_weights(1, block=1)
    save_safetensors(other, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="trained with the VGG19 weights random") as e:
        load_pair(folder, tmp_path / "other.safetensors")
    assert ". " not in str(e.value)


# --- the Hub --------------------------------------------------------------------------


@pytest.fixture
def stand_in(folder, monkeypatch):
    """A package in the place of huggingface_hub that has `folder` and takes uploads."""
    asked = []

    class Api:
        def create_repo(self, *arguments, **options):
            asked.append(("create", arguments, options))

        def upload_folder(self, **options):
            asked.append(("upload", (), options))

    def snapshot_download(repository, **options):
        asked.append(("download", (repository,), options))
        if repository != "group/pair":
            raise OSError("404 Client Error. (Request ID: 1)\nRepository Not Found")
        return str(folder)

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download, module.HfApi = snapshot_download, Api
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    hub._snapshot.cache_clear()
    yield asked
    hub._snapshot.cache_clear()


def test_a_model_of_the_hub_is_loaded_by_its_name(stand_in, pair, folder):
    loaded = load_pair("hf:group/pair@v1.0")
    assert loaded.step == 4
    load_trained("hf:group/pair@v1.0")
    (call,) = stand_in  # asked once
    assert call[1] == ("group/pair",)
    assert call[2]["revision"] == "v1.0"
    assert sorted(call[2]["allow_patterns"]) == sorted(FILES)


def test_a_model_that_cannot_be_had_is_one_sentence(stand_in, assert_refused):
    assert_refused(
        lambda: load_pair("hf:group/none"),
        "hf:group/none cannot be had",
        "404 Client Error",
        error=ReleaseUnavailableError,
    )


def test_half_a_model_of_the_hub_is_refused(stand_in, folder, assert_refused):
    (folder / "model.safetensors").unlink()
    words = (folder, "is missing")
    assert_refused(lambda: load_pair("hf:group/pair"), *words, error=ReleaseError)
    hub._snapshot.cache_clear()
    (folder / "config.json").unlink()
    words = (folder, "no config.json")
    assert_refused(lambda: load_pair("hf:group/pair"), *words, error=ReleaseError)


@pytest.mark.parametrize("spec", ["hf:", "hf:name", "hf:a/b/c", "hf:a/..", "hf:a/b@"])
def test_another_spelling_is_refused(spec, stand_in, assert_refused):
    words = (repr(spec), "hf:OWNER/NAME")
    assert_refused(lambda: load_pair(spec), *words, error=ReleaseError)
    assert stand_in == []


def test_without_the_package_it_says_so(monkeypatch, assert_refused):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub._snapshot.cache_clear()
    assert_refused(
        lambda: load_pair("hf:group/pair"),
        "hf:group/pair needs a package",
        "pip install huggingface_hub",
        error=ReleaseUnavailableError,
    )


def test_an_upload_is_one_commit_of_three_files(stand_in, folder, assert_refused):
    assert hub.upload_folder(folder, "hf:me/mine", dry_run=True) == list(FILES)
    assert stand_in == []
    hub.upload_folder(folder, "hf:me/mine@next", private=True)
    create, upload = stand_in
    assert create[1:] == (("me/mine",), {"private": True, "exist_ok": True})
    assert upload[2]["repo_id"] == "me/mine"
    assert upload[2]["revision"] == "next"
    assert upload[2]["folder_path"] == str(folder)
    assert sorted(upload[2]["allow_patterns"]) == sorted(FILES)
    stand_in.clear()
    _cut(folder)
    for options in ({}, {"dry_run": True}):
        assert_refused(
            lambda options=options: hub.upload_folder(folder, "hf:me/mine", **options),
            "not downloaded whole",
            error=ReleaseError,
        )
    assert stand_in == []


def test_a_refused_upload_is_one_sentence(stand_in, folder, assert_refused):
    def refuse(*_, **__):
        raise OSError("401 Client Error: Unauthorized")

    sys.modules["huggingface_hub"].HfApi.create_repo = refuse
    assert_refused(
        lambda: hub.upload_folder(folder, "hf:me/mine"),
        folder,
        "hf:me/mine",
        "401 Client Error",
        error=ReleaseError,
    )


LOAD = """
import sys
from vgg_unpool_jax.pretrained.errors import ReleaseError
from vgg_unpool_jax.releases.released import find_release, read_decoder

try:
    path = find_release(sys.argv[1])
    print(read_decoder(path).metadata["step"], path)
except ReleaseError as error:
    print(error)
"""


def test_the_real_package_loads_from_a_server(folder, tmp_path):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    commit = "0123456789" * 4
    files = {name: (folder / name).read_bytes() for name in FILES}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if self.path.startswith("/api/models/group/pair/tree/"):
                tree = [
                    {"type": "file", "path": n, "size": len(c), "oid": f"{len(c):040x}"}
                    for n, c in files.items()
                ]
                self._answer(json.dumps(tree).encode(), "application/json")
            elif self.path.startswith("/api/models/group/pair"):
                siblings = [{"rfilename": name} for name in files]
                model = {"id": "group/pair", "sha": commit, "siblings": siblings}
                self._answer(json.dumps(model).encode(), "application/json")
            elif self.path.startswith(f"/group/pair/resolve/{commit}/"):
                self._answer(files[name], "application/octet-stream")
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def _answer(self, content, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{httpd.server_port}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "JAX_PLATFORMS": "cpu",
    }

    def load(spec):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, spec],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        told = load("hf:group/pair")
        assert told.startswith("4 ") and str(tmp_path / "hub") in told, told
        assert "cannot be had from the Hugging Face Hub" in load("hf:group/none")
    finally:
        httpd.shutdown()
        httpd.server_close()
    # What was fetched once is there without the server.
    assert load("hf:group/pair") == told
