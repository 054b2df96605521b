"""Released decoders by name: the package, the cache, a folder, a server on loopback."""

import contextlib
import functools
import hashlib
import http.server
import json
import logging
import pathlib
import re
import threading

import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.errors import ReleaseError, ReleaseUnavailableError
from vgg_unpool_jax.releases import registry, released
from vgg_unpool_jax.releases.register import register
from vgg_unpool_jax.releases.registry import (
    FILE,
    PACKAGE_FOLDER,
    Registry,
    Release,
    read_registry,
)
from vgg_unpool_jax.releases.registry_text import details, table
from vgg_unpool_jax.releases.released import (
    decoder_shapes,
    find_release,
    read_decoder,
    released_names,
    write_decoder,
)

SECTION = {"normalize_features": True, "output_scale": 64.0, "initial_output": 114.0}
VGG19 = {"origin": "keras:vgg19.h5", "sha256": "12ab", "preprocessing": "caffe"}


def _write(path, block=1, step=7, facts=None):
    """A decoder's file with random variables."""
    generator = np.random.default_rng([block, step])
    tree = {}
    for name, shape in decoder_shapes(block, SECTION).items():
        *groups, leaf = name.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = generator.standard_normal(shape).astype(np.float32)
    config = {"encoder": {"block": block}, "decoder": SECTION}
    options = {"vgg19": VGG19, "encoder_sha256": "34cd", "step": step, "facts": facts}
    write_decoder(path, tree, config=config, **options)
    return path


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A folder in place of the package's: block 1 is there, block 4 is planned."""
    folder = tmp_path / "package"
    _write(folder / "vgg19-block1.safetensors")
    register(folder, planned=[4], licence="MIT")
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", folder)
    registry._web_registry.cache_clear()
    monkeypatch.delenv("VGG_UNPOOL_RELEASES", raising=False)
    return folder


@pytest.fixture
def group(packaged, tmp_path):
    """A group's folder with a block-2 decoder."""
    folder = tmp_path / "group"
    _write(folder / "vgg19-block2-ours.safetensors", block=2)
    register(folder, licence="CC BY 4.0")
    return folder


@pytest.fixture
def server(group, monkeypatch):
    """The group's folder at a web address; `requests` and `status` can be changed."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests: list[str] = []  # noqa: RUF012
        status = 200
        cut = 0

        def do_GET(self):
            self.requests.append(self.path)
            if self.status != 200:
                self.send_error(self.status)
            elif self.cut and self.path.endswith(".safetensors"):
                content = pathlib.Path(self.translate_path(self.path)).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content[: -self.cut])
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(group))
    )
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    Handler.url = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", Handler.url)
    yield Handler
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("VGG_UNPOOL_CACHE", str(folder))
    return folder


def _left(folder):
    """Files in the cache but the copies of registries."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.name != FILE)


# --- the registry of the package ------------------------------------------------------


def test_the_package_agrees_with_its_registry():
    releases = read_registry(PACKAGE_FOLDER).releases
    files = {path.name for path in PACKAGE_FOLDER.glob("*.safetensors")}
    published = {n: entry for n, entry in releases.items() if entry.sha256 is not None}
    assert {entry.file for entry in published.values()} == files
    assert sorted(releases) == [f"vgg19-block{block}" for block in range(1, 6)]
    for name, entry in published.items():
        path = PACKAGE_FOLDER / entry.file
        metadata = read_decoder(path).metadata
        assert entry.file == f"{name}.safetensors"
        assert entry.sha256 == _sha256(path)
        assert entry.size == path.stat().st_size < 10_000_000
        for field in ("block", "step", "dtype", "vgg19"):
            assert getattr(entry, field) == metadata[field]
        assert entry.licence == "MIT"
        assert find_release(name) == path
        # The card beside tells the same decoder's figures to four digits.
        card = path.with_suffix(".md").read_text()
        l1 = float(re.search(r"L1 in \[0, 255\] \| ([0-9.]+)", card)[1])
        assert entry.metrics["l1"]["mean"] == pytest.approx(l1, abs=0.002)
        assert entry.metrics["l1"]["photos"] == 125
        assert entry.evaluated_on["source"] == "folder:coco_test"
        assert entry.evaluated_on["of_this_file"]


def test_the_package_has_block_4_in_int8_and_says_what_that_costs():
    entry = read_registry(PACKAGE_FOLDER).releases["vgg19-block4"]
    assert (entry.block, entry.dtype, entry.step) == (4, "int8", 1000)
    assert 5_880_000 < entry.size < 5_890_000
    facts = read_decoder(find_release("vgg19-block4")).metadata["facts"]
    l1 = facts["L1_of_the_test_photos"]
    assert entry.metrics["l1"]["mean"] == pytest.approx(l1["stored_as_int8"], abs=6e-4)
    assert 0 < l1["stored_as_int8"] - l1["stored_as_float16"] < 0.05


def test_int8_files_are_registered_and_found(packaged, group, monkeypatch):
    half = read_decoder(group / "vgg19-block2-ours.safetensors")
    small = group / "vgg19-block2-small.safetensors"
    names = ("config", "vgg19", "encoder_sha256", "step")
    options = {name: half.metadata[name] for name in names}
    write_decoder(small, half.variables, dtype="int8", **options)
    register(group)
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group))
    assert read_registry(group).releases[small.stem].dtype == "int8"
    assert find_release(small.stem) == small


def test_making_the_packages_registry_again_changes_nothing(tmp_path):
    folder = tmp_path / "decoders"
    folder.mkdir()
    for path in PACKAGE_FOLDER.iterdir():
        if path.suffix in (".json", ".safetensors"):
            (folder / path.name).write_bytes(path.read_bytes())
    before = (folder / FILE).read_bytes()
    register(folder)
    assert (folder / FILE).read_bytes() == before


# --- where a name is looked for -------------------------------------------------------


def test_the_packages_own_file_needs_no_network(packaged, cache):
    assert find_release("vgg19-block1") == packaged / "vgg19-block1.safetensors"
    assert released_names() == ("vgg19-block1",)
    assert not cache.exists()


def test_what_is_not_published_is_one_sentence(packaged, cache, assert_refused):
    assert_refused(
        lambda: find_release("vgg19-block4"),
        "vgg19-block4 is not published yet",
        "./launch.sh release --block=4",
        "name its file",
        "VGG_UNPOOL_RELEASES",
        error=ReleaseUnavailableError,
    )


def test_a_name_is_fetched_once_and_then_from_the_cache(server, group, cache):
    path = find_release("vgg19-block2-ours")
    wanted = group / "vgg19-block2-ours.safetensors"
    assert path.read_bytes() == wanted.read_bytes()
    assert path.is_relative_to(cache) and path.name == wanted.name
    assert server.requests == [f"/{FILE}", f"/{wanted.name}"]
    assert find_release("vgg19-block2-ours") == path
    assert server.requests.count(f"/{wanted.name}") == 1
    assert _left(cache) == [wanted.name]
    # Names of the package go on.
    assert find_release("vgg19-block1").parent == registry.PACKAGE_FOLDER


def test_without_the_server_cached_names_go_on(server, cache, caplog, assert_refused):
    path = find_release("vgg19-block2-ours")
    server.status = 503
    registry._web_registry.cache_clear()  # as a new process
    with caplog.at_level(logging.WARNING):
        assert find_release("vgg19-block2-ours") == path
    assert "registry of an earlier day" in caplog.text
    path.unlink()
    assert_refused(
        lambda: find_release("vgg19-block2-ours"),
        f"{server.url}/vgg19-block2-ours.safetensors",
        "answered 503",
        path,
        error=ReleaseUnavailableError,
    )
    registry._web_registry.cache_clear()
    for file in cache.rglob(FILE):
        file.unlink()
    assert_refused(
        lambda: find_release("vgg19-block1"),
        f"{server.url}/{FILE}",
        "VGG_UNPOOL_RELEASES",
        error=ReleaseUnavailableError,
    )


def test_a_folder_is_used_in_place(group, cache, monkeypatch):
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group))
    wanted = group / "vgg19-block2-ours.safetensors"
    assert find_release("vgg19-block2-ours") == wanted
    assert not cache.exists()


def test_a_groups_name_goes_before_the_packages(group, packaged, cache, monkeypatch):
    theirs = _write(group / "vgg19-block1.safetensors", step=9)
    register(group)
    assert find_release("vgg19-block1") == packaged / "vgg19-block1.safetensors"
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group))
    assert find_release("vgg19-block1") == theirs
    # The same file is the package's own, wherever its name was found.
    theirs.write_bytes((packaged / "vgg19-block1.safetensors").read_bytes())
    register(group)
    assert find_release("vgg19-block1").parent == packaged


def test_an_entry_may_name_another_address(server, group, packaged, cache, tmp_path):
    large = _write(tmp_path / "large" / "vgg19-block4.safetensors", block=1)
    # Of block 1, so that the test is fast; the name says nothing.
    register(packaged, elsewhere={str(large): server.url})
    entry = read_registry(packaged).releases["vgg19-block4"]
    assert (entry.address, entry.sha256) == (server.url, _sha256(large))
    (group / large.name).write_bytes(large.read_bytes())
    assert find_release("vgg19-block4").read_bytes() == large.read_bytes()
    register(packaged)  # its file is not in the folder, and it stays
    assert read_registry(packaged).releases["vgg19-block4"] == entry


# --- what goes wrong ------------------------------------------------------------------


def test_a_wrong_hash_from_the_server_is_refused_and_deleted(
    server, group, cache, assert_refused
):
    path = group / "vgg19-block2-ours.safetensors"
    wanted = _sha256(path)
    _write(path, block=2, step=8)
    assert_refused(
        lambda: find_release("vgg19-block2-ours"),
        f"{server.url}/{path.name}",
        _sha256(path),
        wanted,
        "deleted",
        error=ReleaseError,
    )
    assert _left(cache) == []


def test_half_a_download_is_refused_and_leaves_nothing(server, cache, assert_refused):
    server.cut = 1000
    assert_refused(
        lambda: find_release("vgg19-block2-ours"),
        "the connection broke off",
        error=ReleaseUnavailableError,
    )
    assert _left(cache) == []
    server.cut = 0
    assert find_release("vgg19-block2-ours").is_file()


def test_half_a_file_in_the_cache_is_fetched_again(server, cache, caplog):
    path = find_release("vgg19-block2-ours")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with caplog.at_level(logging.WARNING):
        assert find_release("vgg19-block2-ours").read_bytes() == whole
    assert f"{path} does not have the SHA-256" in caplog.text


def test_a_changed_file_in_a_folder_is_refused(
    packaged, group, monkeypatch, assert_refused
):
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(group))
    for path, name in (
        (packaged / "vgg19-block1.safetensors", "vgg19-block1"),
        (group / "vgg19-block2-ours.safetensors", "vgg19-block2-ours"),
    ):
        path.write_bytes(path.read_bytes() + b"\0")
        assert_refused(
            lambda name=name: find_release(name),
            path,
            _sha256(path),
            "restore the file",
            error=ReleaseError,
        )


def _change(folder, name, **fields):
    tree = json.loads((folder / FILE).read_text())
    tree["decoders"][name] |= fields
    (folder / FILE).write_text(json.dumps(tree))


def test_the_wrong_block_is_refused(packaged, assert_refused):
    _change(packaged, "vgg19-block1", block=3)
    assert_refused(
        lambda: find_release("vgg19-block1"),
        "holds a decoder of block 1",
        "vgg19-block1 is of block 3",
        error=ReleaseError,
    )


def test_a_newer_file_is_refused_in_one_sentence(packaged, assert_refused):
    path = packaged / "vgg19-block1.safetensors"
    with safetensors.safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        strings = file.metadata()
    (key,) = strings
    strings = {key: json.dumps(json.loads(strings[key]) | {"format_version": 3})}
    path.write_bytes(safetensors.numpy.save(arrays, strings))
    _change(packaged, "vgg19-block1", sha256=_sha256(path))
    assert_refused(
        lambda: find_release("vgg19-block1"),
        path,
        "format version 3",
        "a newer release",
        error=ReleaseError,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["no JSON"]),
        ("[]", ["no format version"]),
        ('{"format_version": 2, "decoders": {}}', ["format version 2", "reads 1"]),
        ('{"format_version": true, "decoders": {}}', ["format version True"]),
        ('{"format_version": 1}', ["lists no decoders"]),
    ],
)
def test_registries_of_no_use_are_refused(content, words, packaged, assert_refused):
    (packaged / FILE).write_text(content)
    path = packaged / FILE
    assert_refused(
        lambda: find_release("vgg19-block1"), path, *words, error=ReleaseError
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"file": "../vgg19-block1.safetensors"},
        {"file": "/etc/a.safetensors"},
        {"file": "vgg19-block1.pth"},
        {"file": 3},
        {"sha256": "12"},
        {"block": 6},
        {"block": None},
        {"address": None},
        {"licence": 5},
        {"metrics": {"l1": 3.0}},
        {"metrics": {"l1": {"photos": 3}}},
    ],
)
def test_entries_of_no_use_are_refused(fields, packaged, assert_refused):
    _change(packaged, "vgg19-block1", **fields)
    assert_refused(
        lambda: find_release("vgg19-block1"),
        packaged / FILE,
        "entry 'vgg19-block1'",
        error=ReleaseError,
    )


def test_fields_of_a_later_time_are_passed_over(packaged):
    _change(packaged, "vgg19-block1", colour="blue")
    assert find_release("vgg19-block1") is not None


def test_a_folder_without_a_registry_is_named(
    packaged, tmp_path, monkeypatch, assert_refused
):
    monkeypatch.setenv("VGG_UNPOOL_RELEASES", str(tmp_path))
    words = (f"{tmp_path} has no registry", "register_releases")
    assert_refused(lambda: find_release("vgg19-block1"), *words, error=ReleaseError)


def test_a_web_page_in_place_of_the_registry(
    server, group, tmp_path, monkeypatch, assert_refused
):
    (group / FILE).write_text("<!doctype html><html>Please sign in</html>")
    words = (f"{server.url}/{FILE}", "web page")
    assert_refused(
        lambda: find_release("vgg19-block1"), *words, error=ReleaseUnavailableError
    )


# --- making a registry ----------------------------------------------------------------


def _results(path, mean=3.0, **fields):
    results = {
        "metrics": {"l1": {"mean": mean, "interval": [2.0, 4.0], "photos": 5}},
        "provenance": {"config": {"encoder": {"block": 1}}},
        "training_steps": 7,
        "source": "folder:/home/me/photos",
        "crop": "center",
        "image_size": 256,
    } | fields
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results))
    return path


def test_metrics_come_from_the_result_files_beside(packaged):
    _results(packaged / "block1" / "results.json")
    register(packaged)
    entry = read_registry(packaged).releases["vgg19-block1"]
    assert entry.metrics["l1"] == {"mean": 3.0, "interval": [2.0, 4.0], "photos": 5}
    assert entry.evaluated_on["source"] == "folder:photos"
    assert (entry.licence, entry.step, entry.block) == ("MIT", 7, 1)
    # Of another file they are not.
    (packaged / "block1" / "results.json").unlink()
    register(packaged)
    assert read_registry(packaged).releases["vgg19-block1"] == entry
    _write(packaged / "vgg19-block1.safetensors", step=8)
    register(packaged)
    assert read_registry(packaged).releases["vgg19-block1"].metrics == {}


def test_results_of_a_file_belong_to_that_file(packaged, tmp_path, assert_refused):
    digest = _sha256(packaged / "vgg19-block1.safetensors")
    path = _results(tmp_path / "r.json", released_decoder={"sha256": digest})
    register(packaged, results=[path])
    entry = read_registry(packaged).releases["vgg19-block1"]
    assert entry.evaluated_on["of_this_file"]
    for fields in ({"released_decoder": {"sha256": "00"}}, {"training_steps": 8}):
        _results(path, **fields)
        assert_refused(
            lambda: register(packaged, results=[path]),
            path,
            "0 decoders of the registry are that",
            error=ReleaseError,
        )
    path.write_text("[]")
    assert_refused(
        lambda: register(packaged, results=[path]),
        path,
        "no result file",
        error=ReleaseError,
    )


def test_what_json_has_no_number_for_is_left_out(packaged, tmp_path):
    metrics = {
        "l1": {"mean": 0.0, "interval": ["nan", "nan"], "photos": 1},
        "psnr": {"mean": "inf", "interval": ["nan", "nan"], "photos": 1},
    }
    register(packaged, results=[_results(tmp_path / "r.json", metrics=metrics)])
    entry = read_registry(packaged).releases["vgg19-block1"]
    assert entry.metrics == {"l1": {"mean": 0.0, "interval": None, "photos": 1}}
    assert "0.000" in table({entry.name: (entry, read_registry(packaged))})


def test_the_licence_of_the_facts_goes_first(packaged):
    _write(packaged / "vgg19-block1.safetensors", facts={"licence": "CC0"})
    register(packaged, licence="MIT")
    assert read_registry(packaged).releases["vgg19-block1"].licence == "CC0"


def test_a_folder_without_decoders_has_no_registry(tmp_path, assert_refused):
    words = ("no released decoder", tmp_path)
    assert_refused(lambda: register(tmp_path), *words, error=ReleaseError)
    assert not list(tmp_path.iterdir())


def test_tables_tell_where_a_decoder_is(server, packaged, cache):
    _results(packaged / "block1" / "results.json")
    register(packaged)
    rows = {
        line.split()[0]: line for line in table(registry.known_releases()).splitlines()
    }
    assert rows["vgg19-block1"].split()[2:4] == ["3.000", "-"]
    assert rows["vgg19-block1"].endswith("package")
    assert rows["vgg19-block2-ours"].endswith(server.url)
    assert rows["vgg19-block4"].endswith("not published")
    find_release("vgg19-block2-ours")
    assert table(registry.known_releases()).count("cache") == 1
    told = details(*released.find_entry("vgg19-block1"))
    assert "3.000 (2.000 to 4.000)" in told and "folder:photos, center, 256" in told
    release = Release("vgg19-x", 1, "vgg19-x.safetensors")
    assert "not published" in details(release, Registry("here", {}))
