"""Released models by name: the package, a folder, a server on loopback, the cache."""

import functools
import hashlib
import http.server
import json
import re
import threading

import pytest

from tests.releases.test_file import write_toy
from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.file import read

RESULTS = {
    "metrics": {"l1": {"mean": 3.0, "interval": [2.0, 4.0], "photos": 5}},
    "training_steps": 7,
    "source": "folder:/home/me/photos",
    "image_size": 256,
}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_UNPOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VGG_UNPOOL_RELEASES", raising=False)
    index._web_index.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A folder in place of the package's: one model is there, one not published."""
    folder = tmp_path / "package"
    index.register(write_toy(folder / "toy-a.safetensors"), licence="MIT")
    tree = json.loads((folder / index.FILE).read_text())
    tree["models"]["toy-b"] = {
        "file": "toy-b.safetensors",
        "sha256": None,
        "remedy": "train it with `make`",
    }
    (folder / index.FILE).write_text(json.dumps(tree))
    monkeypatch.setattr(index, "PACKAGE", folder)
    return folder


@pytest.fixture
def group(packaged, tmp_path):
    """A group's folder with a model."""
    file = write_toy(tmp_path / "group" / "toy-ours.safetensors", step=8)
    index.register(file)
    return file


@pytest.fixture
def server(group, monkeypatch):
    """The group's folder at a web address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests: list[str] = []  # noqa: RUF012

        def do_GET(self):
            self.requests.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(group.parent))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    Handler.url = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", Handler.url)
    yield Handler
    httpd.shutdown()
    thread.join()
    httpd.server_close()


# --- the index of the package ---------------------------------------------------------


def test_the_package_agrees_with_its_index():
    entries = index.read(index.PACKAGE)
    pairs = [f"vgg19-block{block}" for block in range(1, 6)]
    others = {
        "autoencoder-deepsim": "deepsim",
        "codec-faces": "codec",
        "codec-photos": "codec",
        "color-photos": "colorization",
        "invert-alexnet-conv1": "deepsim",
        "invert-alexnet-conv2": "deepsim",
        "invert-vgg19-block2": "deepsim",
        "invert-vgg19-block3": "deepsim",
        "restore-photos": "restoration",
        "upscale-faces": "super_resolution",
        "vae-faces": "vae",
        "upscale-photos": "super_resolution",
        "upscale-photos-gan": "super_resolution",
        "vgg19-style": "staged",
    }
    assert sorted(entries) == sorted([*others, *pairs])
    assert index.packaged_names("unpooling") == tuple(pairs)
    assert index.packaged_names() == tuple(sorted(entries))
    files = {path.name for path in index.PACKAGE.glob("*.safetensors")}
    assert {entries[name].file for name in index.packaged_names()} == files
    for name in index.packaged_names():
        entry, path = entries[name], index.find(name)
        assert path == index.PACKAGE / f"{name}.safetensors"
        metadata = read(path).metadata
        assert entry.sha256 == _sha256(path)
        assert entry.facts["size"] == path.stat().st_size < 16_000_000
        assert entry.facts["licence"] == "MIT"
        assert entry.facts["system"] == others.get(name, "unpooling")
        for field in ("step", "dtype"):
            assert entry.facts[field] == metadata[field]
        if name not in pairs:
            continue
        # The card beside it has the same figures to four digits.
        card = path.with_suffix(".md").read_text()
        l1 = float(re.search(r"\| L1, grey levels \| ([0-9.]+)", card)[1])
        assert entry.facts["metrics"]["l1"]["mean"] == pytest.approx(l1, abs=0.002)
        assert entry.facts["evaluated_on"]["source"] == "folder:coco_test"


def test_registering_the_packaged_files_again_keeps_what_is_known(tmp_path):
    for path in index.PACKAGE.iterdir():
        if path.suffix in (".json", ".safetensors"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    before = index.read(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        index.register(path)
    after = index.read(tmp_path)
    assert list(after) == list(before)
    for name, entry in before.items():
        assert after[name].sha256 == entry.sha256
        for fact in ("licence", "metrics", "evaluated_on", "step", "size"):
            assert after[name].facts.get(fact) == entry.facts.get(fact)


# --- where a name is looked for -------------------------------------------------------


def test_a_path_goes_before_a_name(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert index.find("toy-a") == packaged / "toy-a.safetensors"
    (tmp_path / "toy-a").mkdir()
    assert index.find("toy-a") is None
    (tmp_path / "toy-a" / "model.safetensors").write_bytes(b"")
    assert index.find("toy-a").name == "model.safetensors"


def test_unknown_and_unpublished_names_are_one_sentence(packaged, assert_refused):
    words = ("no released model toy-z", "toy-a, toy-b")
    assert_refused(lambda: index.find("toy-z"), *words, error=ReleaseError)
    assert_refused(
        lambda: index.find("toy-b"),
        "toy-b is not published yet: train it with `make`",
        "VGG_UNPOOL_RELEASES",
        error=ReleaseUnavailableError,
    )


def test_a_name_is_downloaded_once_and_then_from_the_cache(server, group, cache):
    path = index.find("toy-ours")
    assert path.read_bytes() == group.read_bytes()
    assert path.is_relative_to(cache) and path.name == group.name
    assert index.find("toy-ours") == path
    assert server.requests == [f"/{index.FILE}", f"/{group.name}"]
    # The names of the package stay.
    assert index.find("toy-a").parent == index.PACKAGE
    path.write_bytes(path.read_bytes()[:-1])
    assert index.find("toy-ours").read_bytes() == group.read_bytes()


def test_a_folder_is_used_in_place_and_its_names_come_first(
    group, packaged, cache, monkeypatch
):
    theirs = write_toy(group.parent / "toy-a.safetensors", step=9)
    index.register(theirs)
    assert index.find("toy-a").parent == packaged
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group.parent))
    assert index.find("toy-ours") == group
    assert index.find("toy-a") == theirs
    assert not cache.exists()


def test_an_entry_may_name_another_address(server, group, packaged):
    index.register(packaged / "toy-a.safetensors", address=server.url)
    (packaged / "toy-a.safetensors").rename(group.parent / "toy-a.safetensors")
    found = index.find("toy-a")
    assert _sha256(found) == index.find_entry("toy-a").sha256
    assert server.requests[-1] == "/toy-a.safetensors"


def test_an_index_of_an_earlier_release_is_read(group, monkeypatch):
    path = group.parent / index.FILE
    tree = json.loads(path.read_text())
    tree["decoders"] = {"toy-ours": tree.pop("models")["toy-ours"] | {"address": ""}}
    path.write_text(json.dumps(tree))
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group.parent))
    assert index.find("toy-ours") == group


# --- what goes wrong ------------------------------------------------------------------


def test_another_file_from_the_server_is_refused_and_deleted(
    server, group, cache, assert_refused
):
    expected = _sha256(group)
    write_toy(group, step=10)
    words = (f"{server.url}/{group.name}", expected, "deleted")
    assert_refused(lambda: index.find("toy-ours"), *words, error=ReleaseError)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_changed_file_in_a_folder_is_refused(packaged, assert_refused):
    path = packaged / "toy-a.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    words = (path, _sha256(path), "restore the file")
    assert_refused(lambda: index.find("toy-a"), *words, error=ReleaseError)


@pytest.mark.parametrize(
    "content",
    [
        "<html>",
        '{"format_version": 1, "models": {"toy-a": {"file": "../a.safetensors"}}}',
    ],
)
def test_an_index_of_no_use_is_refused(content, packaged, assert_refused):
    (packaged / index.FILE).write_text(content)
    assert_refused(lambda: index.find("toy-a"), packaged, error=ReleaseError)


# --- registering ----------------------------------------------------------------------


def test_metrics_are_kept_until_the_file_changes(packaged, assert_refused):
    file = packaged / "toy-a.safetensors"
    facts = index.register(file, results=RESULTS).facts
    assert facts["metrics"] == RESULTS["metrics"]
    assert facts["evaluated_on"] == {
        "source": "folder:photos",
        "image_size": 256,
        "of_this_file": True,
    }
    assert (facts["licence"], facts["step"]) == ("MIT", 7)
    assert index.register(file).facts == facts
    assert index.known_results(index.find_entry("toy-a"))["training_steps"] == 7
    words = ("of another model", "step 8", "step 7")
    other = RESULTS | {"training_steps": 8}
    assert_refused(
        lambda: index.register(file, results=other), *words, error=ReleaseError
    )
    write_toy(file, step=8, facts={"licence": "CC0"})
    facts = index.register(file).facts
    assert "metrics" not in facts and facts["licence"] == "CC0"
