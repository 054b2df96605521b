"""Model cards, model folders, and the Hugging Face Hub at a server on loopback."""

import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import huggingface_hub
import pytest

from tests.releases.test_file import write_toy
from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.releases import hub, index
from vgg_unpool_jax.releases.card import model_card
from vgg_unpool_jax.releases.file import read_metadata

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = {
    "metrics": {
        "colour": {"mean": "inf", "interval": None, "photos": 3},
        "psnr": {"mean": 36.25, "interval": [36, 37], "photos": 9},
        "l1": {"mean": 2.5, "interval": [2, 3], "photos": 9},
    },
    "training_steps": 7,
    "source": "folder:/home/me/coco",
    "crop": "center",
    "image_size": 256,
}


@pytest.fixture
def file(tmp_path):
    facts = {
        "photos_seen": 72000,
        "hardware": {"device_kind": "cpu", "cpu_cores": 2, "gpu": None},
        "unknown": None,
        "licence": "MIT",
    }
    config = {
        "system": "toy",
        "loss": {"l1": 10.0, "perceptual": 0.0},
        "data": {
            "batch_size": 8,
            "image_size": 96,
            "source": "folder:/x/train",
            "split_fractions": [0.9, 0.09, 0.01],
        },
    }
    record = {"origin": "keras:v.h5", "sha256": "12", "preprocessing": "caffe"}
    record["layers_sha256"] = "34cd"
    options = {"facts": facts, "config": config, "pretrained": record}
    return write_toy(tmp_path / "toy.safetensors", dtype="float16", **options)


@pytest.fixture
def folder(file, tmp_path):
    card = model_card(read_metadata(file), RESULTS, name="toy-a")
    files = hub.write_model_folder(file, tmp_path / "model", card)
    assert [path.name for path in files] == list(hub.FILES)
    return tmp_path / "model"


def test_a_card_has_all_facts_and_a_header_that_the_hub_reads(file):
    options = {"name": "toy-a", "about": "A toy.", "usage": ["import toy"]}
    text = model_card(read_metadata(file), RESULTS, limits=["It is small."], **options)
    for words in (
        "# toy-a\n\nA toy.\n\n```python\nimport toy\n```",
        "- 7 steps of the system `toy`.",
        "- Loss (section `loss` of the config): l1 10.0.",
        "Batches of 8 crops",
        "96 pixels per side, of 90 % of `folder:train`.",
        "- photos seen: 72,000",
        "- hardware: device kind cpu, cpu cores 2",
        "| L1, grey levels | 2.500 | 2.000 to 3.000 | 9 |",
        "| colour | inf | too few photos | 3 |",
        "Photos: `folder:coco`, crop center 256",
        "Measured before the parameters were rounded to float16.",
        "- This model: MIT.",
        "`34cd`",
        "- It is small.\n- Parameters were rounded to float16",
    ):
        assert words in text
    assert "/home/me" not in text and "perceptual" not in text
    data = huggingface_hub.ModelCard(text).data
    assert (data.license, data.library_name) == ("mit", "vgg_unpool_jax")
    assert {"jax", "toy"} <= set(data.tags)
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == {"l1": 2.5, "psnr": 36.25}
    assert {result.dataset_name for result in data.eval_results} == {"folder:coco"}


def test_a_card_without_results_says_so(file):
    text = model_card(read_metadata(file) | {"facts": {}}, name="toy-a")
    assert "Not evaluated." in text and "This model: not stated." in text
    data = huggingface_hub.ModelCard(text).data
    assert data.license is None and data.eval_results is None


def test_a_model_folder_holds_the_file_itself_and_is_found(file, folder):
    assert index.find(folder) == folder / "model.safetensors"
    assert index.find(folder).read_bytes() == file.read_bytes()
    config = json.loads((folder / "config.json").read_text())
    assert config["system"] == "toy"
    hub.write_model_folder(file, folder, "new card")
    assert (folder / "README.md").read_text() == "new card"


def test_a_folder_of_something_else_is_not_written_to(file, tmp_path, assert_refused):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    words = (tmp_path, "config.json of something else")
    assert_refused(
        lambda: hub.write_model_folder(file, tmp_path / "run", ""),
        *words,
        error=ReleaseError,
    )
    assert (tmp_path / "run" / "config.json").read_text() == "{}"


def test_an_upload_is_one_commit_of_three_files(folder, monkeypatch, assert_refused):
    asked = []

    class Api:
        def create_repo(self, repository, **options):
            asked.append((repository, options))

        def upload_folder(self, **options):
            asked.append((options.pop("repo_id"), options))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    hub.upload(folder, "hf:me/mine", dry_run=True)
    assert asked == []
    hub.upload(folder, "hf:me/mine@next", private=True)
    (_, created), (repository, sent) = asked
    assert created == {"private": True, "exist_ok": True}
    assert (repository, sent["revision"]) == ("me/mine", "next")
    assert (sent["folder_path"], sent["allow_patterns"]) == (
        str(folder),
        list(hub.FILES),
    )
    model = folder / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    assert_refused(
        lambda: hub.upload(folder, "hf:me/mine", dry_run=True),
        model,
        "incomplete",
        error=ReleaseError,
    )
    model.unlink()
    words = (folder, "no model folder")
    assert_refused(lambda: hub.upload(folder, "hf:me/mine"), *words, error=ReleaseError)
    assert len(asked) == 2


LOAD = """
import sys
from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.releases import file, index

try:
    path = index.find(sys.argv[1])
    print(file.read_metadata(path)["step"], path)
except ReleaseError as error:
    print(error)
"""


def test_a_model_is_loaded_from_the_hub_and_then_from_its_cache(folder, tmp_path):
    commit = "0123456789" * 4
    content = (folder / hub.MODEL_FILE).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/group/pair/resolve/"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

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
        printed = load("hf:group/pair@main")
        assert printed.startswith("7 ") and str(tmp_path / "hub") in printed, printed
        assert "unavailable on the Hugging Face Hub" in load("hf:group/none")
    finally:
        httpd.shutdown()
        httpd.server_close()
    assert load("hf:group/pair@main") == printed
