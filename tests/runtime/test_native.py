"""C++ is compiled once for all processes; without a compiler there is no library."""

import concurrent.futures

import pytest

from vgg_unpool_jax.runtime import native

SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def cache(monkeypatch, tmp_path):
    folder = tmp_path / "cache" / "native"
    monkeypatch.setattr(native, "_folder", lambda: folder)
    monkeypatch.delenv(native.SWITCH, raising=False)
    return folder


def _library(tmp_path, text=SOURCE):
    source = tmp_path / "answer.cc"
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    return native.library.__wrapped__(source)  # as a process that has not asked yet


def _compiler():
    return next(filter(None, map(native.shutil.which, native._COMPILERS)), None)


needs_compiler = pytest.mark.skipif(_compiler() is None, reason="no C++ compiler")


@needs_compiler
def test_processes_that_start_together_share_one_library(cache, tmp_path):
    (tmp_path / "answer.cc").write_text(SOURCE)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: _library(tmp_path), range(3)))
    assert [library.answer() for library in found] == [42] * 3
    assert len(list(cache.iterdir())) == 1  # nothing half-written beside it


@needs_compiler
def test_another_source_is_another_library(cache, tmp_path):
    assert _library(tmp_path).answer() == 42
    assert _library(tmp_path, SOURCE.replace("42", "43")).answer() == 43


@needs_compiler
def test_the_second_start_needs_no_compiler(cache, tmp_path, monkeypatch):
    _library(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert _library(tmp_path).answer() == 42


@pytest.mark.parametrize("reason", ["compiler", "switch", "folder", "source", "damage"])
def test_no_library(cache, tmp_path, monkeypatch, reason):
    text = SOURCE
    if reason == "compiler":
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setenv("PATH", "")
    elif reason == "switch":
        monkeypatch.setenv(native.SWITCH, "0")
    elif reason == "folder":
        cache.parent.write_text("a file")
    elif reason == "source":
        text = "this is not C++"
    else:
        broken = tmp_path / "compiler"
        broken.write_text('#!/bin/sh\nfor last; do :; done\necho junk > "$last"\n')
        broken.chmod(0o755)
        monkeypatch.setenv("CXX", str(broken))
    assert _library(tmp_path, text) is None
    if reason == "source":
        assert not any(cache.iterdir())
