"""Downloads from a server on the loopback interface, and the cache."""

import contextlib
import dataclasses
import hashlib
import http.server
import logging
import threading

import pytest

from vgg_unpool_jax.errors import WeightsUnavailableError
from vgg_unpool_jax.pretrained.download import PUBLIC_FILES, fetch
from vgg_unpool_jax.pretrained.load import load_vgg19_weights

NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


class Server:
    """The answer of the server and the requests to it."""

    def __init__(self):
        self.status = 200
        self.content = b""
        self.promised = None
        self.requests = []


@pytest.fixture
def server(monkeypatch):
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(self.path)
            self.send_response(state.status)
            length = state.promised or len(state.content)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            # A client that has seen the status may hang up before the body.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(state.content)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/vgg"
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", state.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def public(server, tmp_path, make_weights, layouts, monkeypatch):
    """A small file that the server has and whose digest stands for the public one's."""
    weights = make_weights()
    path = layouts.write_keras(tmp_path / "public.h5", weights.params)
    server.content = path.read_bytes()
    digest = hashlib.md5(server.content).hexdigest()
    file = dataclasses.replace(PUBLIC_FILES["keras"], known_hash=f"md5:{digest}")
    monkeypatch.setitem(PUBLIC_FILES, "keras", file)
    return weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("VGG_UNPOOL_CACHE", str(folder))
    return folder


def test_the_hashes_are_the_published_ones():
    # The MD5 is that of keras.applications.
    assert PUBLIC_FILES["keras"].known_hash == "md5:253f8cb515780f3b799900260a226db6"
    assert PUBLIC_FILES["torchvision"].known_hash == "sha256:dcbb9e9d"


def test_download_once_then_the_cache(
    server, public, cache, monkeypatch, assert_same_params
):
    first = load_vgg19_weights(block=1)
    assert_same_params(first.params, public.params)
    assert first.origin == f"keras:{NAME}"
    assert first.sha256 == hashlib.sha256(server.content).hexdigest()
    assert server.requests == [f"/vgg/{NAME}"]
    second = load_vgg19_weights(block=1)
    offline = load_vgg19_weights(block=1, download=False)
    assert server.requests == [f"/vgg/{NAME}"]
    assert first.sha256 == second.sha256 == offline.sha256
    # Nothing but the file is left in the cache.
    assert [file.name for file in cache.iterdir()] == [NAME]


def test_a_wrong_hash_is_refused_and_deleted(server, public, cache, assert_refused):
    server.content += b"\0"
    assert_refused(
        lambda: load_vgg19_weights(block=1),
        server.url,
        hashlib.md5(server.content).hexdigest(),
        PUBLIC_FILES["keras"].known_hash.removeprefix("md5:"),
        "deleted",
    )
    assert list(cache.iterdir()) == []


def test_torchvisions_file_is_checked_by_the_digits_in_its_name(
    server, cache, tmp_path, make_weights, layouts, monkeypatch, assert_refused
):
    torch = pytest.importorskip("torch")
    arrays = layouts.torchvision_arrays(make_weights().params)
    path = tmp_path / "w.pth"
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)
    server.content = path.read_bytes()
    digits = hashlib.sha256(server.content).hexdigest()[:8]
    assert_refused(
        lambda: load_vgg19_weights(block=1, flavour="torchvision"),
        "vgg19-dcbb9e9d.pth",
        digits,
        "expected dcbb9e9d",
        "deleted",
    )
    assert list(cache.iterdir()) == []
    known_hash = f"sha256:{digits}"
    file = dataclasses.replace(PUBLIC_FILES["torchvision"], known_hash=known_hash)
    monkeypatch.setitem(PUBLIC_FILES, "torchvision", file)
    got = load_vgg19_weights(block=1, flavour="torchvision")
    assert got.origin == "torchvision:vgg19-dcbb9e9d.pth"
    assert got.preprocessing == "torchvision"
    load_vgg19_weights(block=1, flavour="torchvision")
    assert server.requests == ["/vgg/vgg19-dcbb9e9d.pth"] * 2


def test_an_error_of_the_server(server, public, cache, assert_refused):
    server.status = 503
    assert_refused(
        lambda: load_vgg19_weights(block=1),
        f"{server.url}/{NAME}",
        "answered 503",
        "VGG19_WEIGHTS",
        cache / NAME,
        error=WeightsUnavailableError,
    )
    assert list(cache.iterdir()) == []


def test_without_a_network_one_sentence_says_so(cache, monkeypatch, assert_refused):
    monkeypatch.setenv("VGG_UNPOOL_WEIGHTS_URL", "http://127.0.0.1:9/vgg")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert_refused(
        lambda: load_vgg19_weights(block=1),
        f"http://127.0.0.1:9/vgg/{NAME}",
        "no connection to the server",
        "VGG19_WEIGHTS",
        error=WeightsUnavailableError,
    )


def test_a_connection_that_breaks_off(server, public, cache, assert_refused):
    server.promised = len(server.content)
    server.content = server.content[:-1000]
    assert_refused(
        lambda: load_vgg19_weights(block=1),
        "could not be downloaded",
        error=WeightsUnavailableError,
    )
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache(server, public, cache, caplog, assert_refused):
    cache.mkdir(parents=True)
    cached = cache / NAME
    cached.write_bytes(server.content[:-1])
    assert_refused(
        lambda: load_vgg19_weights(block=1, download=False),
        cached,
        "MD5",
        "delete it",
    )
    server.status = 503
    with caplog.at_level(logging.WARNING):
        assert_refused(
            lambda: load_vgg19_weights(block=1), error=WeightsUnavailableError
        )
    assert cached.read_bytes() == server.content[:-1]
    assert f"{cached} has the MD5" in caplog.text
    server.status = 200
    load_vgg19_weights(block=1)
    assert cached.read_bytes() == server.content


def test_several_downloads_at_the_same_time(server, public, cache):
    errors = []

    def work():
        try:
            fetch("keras")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [file.name for file in cache.iterdir()] == [NAME]
