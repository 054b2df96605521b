"""Local and remote paths, and the operations in which an object store differs."""

import importlib.util
import os
import pathlib

import pytest

from vgg_unpool_jax.errors import ConfigError, RemoteError, UserError
from vgg_unpool_jax.io import paths
from vgg_unpool_jax.io.atomic import replacing
from vgg_unpool_jax.io.log_file import open_log


def test_a_local_path_is_a_path_of_pathlib(tmp_path):
    for path in ("a/b", "a~", tmp_path, "gs", "a:b", str(tmp_path)):
        assert paths.to_path(path) == pathlib.Path(path)
        assert type(paths.to_path(path)) is type(tmp_path)
        assert not paths.is_remote(path)
    paths.check_reachable("not/there")  # local paths are not accessed


def test_a_local_file_is_asked_for_where_a_bucket_does_not_work(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("~/a.h5", pathlib.Path("~/a.h5")):
        assert paths.to_path(text) == paths.local_path(text) == tmp_path / "a.h5"
    with replacing("~/new/results.json") as file:
        file.write(b"{}")
    assert paths.read_bytes("~/new/results.json") == b"{}"
    assert (tmp_path / "new" / "results.json").exists()
    assert paths.local_path(b"a.h5") == pathlib.Path("a.h5")
    with pytest.raises(UserError, match=r"gs://bucket/a\.h5 must be copied to this"):
        paths.local_path("gs://bucket/a.h5")
    with pytest.raises(UserError, match=r"home folder in ~no_such_user_here/a\.h5 ca"):
        paths.local_path("~no_such_user_here/a.h5")
    for empty in ("", " "):
        with pytest.raises(ConfigError, match="a path is empty"):
            paths.to_path(empty)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("s3://bucket/run", "s3://bucket/run cannot be used"),
        ("file:///run", "file:///run cannot be used"),
        (pathlib.PurePosixPath("gs://bucket/run"), "gs:/bucket/run is no path: write"),
        ("gs://", "gs:// names no bucket"),
        ("gs:///", "gs:/// names no bucket"),
    ],
)
def test_other_addresses_are_refused(path, words):
    with pytest.raises(ConfigError, match=words):
        paths.to_path(path)


def test_without_gcsfs_the_sentence_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "gcsfs" else find(n)
    )
    with pytest.raises(ConfigError) as caught:
        paths.to_path("gs://bucket/run")
    assert str(caught.value) == (
        "gs://bucket/run needs a package that is not installed: pip install gcsfs"
    )
    assert paths.to_path("run") == pathlib.Path("run")


def test_a_remote_path_stays_what_it_is(bucket):
    path = paths.to_path("gs://bucket/run/")
    assert paths.is_remote(path)
    assert str(path / "config.json") == "gs://bucket/run/config.json"
    assert str(paths.absolute(path)) == paths.resolved(path) == "gs://bucket/run"
    assert str(paths.to_path(path)) == "gs://bucket/run"
    assert not bucket.requests


def test_a_missing_bucket_is_one_sentence(bucket):
    paths.check_reachable("gs://bucket/not/there")
    with pytest.raises(ConfigError, match="gs://other/run: there is no bucket other"):
        paths.check_reachable("gs://other/run")


def test_a_refusal_in_the_middle_is_one_sentence(bucket):
    bucket.put("run/config.json", b"{}")
    bucket.forbidden = "run/"
    for work in (
        lambda: paths.read_bytes("gs://bucket/run/config.json"),
        lambda: paths.write_bytes("gs://bucket/run/config.json", b"new"),
        lambda: paths.remove_tree(paths.to_path("gs://bucket/run")),
    ):
        with pytest.raises(RemoteError) as caught:
            work()
        text = str(caught.value)
        assert text.startswith("gs://bucket/run") and ": Forbidden: " in text
        assert "\n" not in text
    assert bucket.objects == {"run/config.json": b"{}"}


def test_a_remote_file_is_replaced_whole_or_not_at_all(bucket):
    def write(*contents):
        with replacing("gs://bucket/new/results.json") as file:
            for content in contents:
                file.write(content)

    write(b"one")
    assert bucket.objects == {"new/results.json": b"one"}
    with pytest.raises(TypeError):
        write(b"tw", None)
    assert bucket.objects == {"new/results.json": b"one"}
    write(b"three")
    assert bucket.objects == {"new/results.json": b"three"}
    assert paths.read_bytes("gs://bucket/new/results.json") == b"three"


def test_a_missing_remote_file_is_missing(bucket):
    with pytest.raises(FileNotFoundError, match="gs://bucket/none"):
        paths.read_bytes("gs://bucket/none")


def test_trees_are_listed_moved_and_removed(bucket):
    names = ["3/z", "3/a/b/c", "3/a/d", "30/other"]
    names += [f"3/many/{number:03d}" for number in range(120)]  # more than a page
    for name in names:
        bucket.put(f"run/{name}", name.encode())
    bucket.put("run/3/empty/", b"")
    run = paths.to_path("gs://bucket/run")
    listed = sorted(n.removeprefix("3/") for n in names if n.startswith("3/"))
    assert paths.list_files(run / "3") == listed
    assert paths.list_files(run / "none") == []
    paths.move_tree(run / "3", run / "aside" / "3")
    left = {n: c for n, c in bucket.objects.items() if not n.endswith("/")}
    assert left == {
        f"run/aside/{n}" if n.startswith("3/") else f"run/{n}": n.encode()
        for n in names
    }
    paths.remove_tree(run / "aside")
    assert "run/30/other" in bucket.objects
    assert not [name for name in bucket.objects if "aside" in name]


def test_a_tree_that_is_half_removed_has_lost_its_marks(bucket):
    for name in ("a/b", "commit_success.txt", "z/y/x"):
        bucket.put(f"run/3/{name}", b"")
    paths.remove_tree(paths.to_path("gs://bucket/run/3"))
    removed = [path for method, path in bucket.requests if method == "DELETE"]
    assert [os.path.basename(path) for path in removed] == [
        "commit_success.txt",
        "b",
        "x",
    ]


def test_local_trees_are_moved_and_removed(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "file").write_text("x")
    paths.move_tree(tmp_path / "3", tmp_path / "aside" / "3")
    assert (tmp_path / "aside" / "3" / "file").read_text() == "x"
    paths.remove_tree(tmp_path / "aside")
    assert list(tmp_path.iterdir()) == []


def test_a_remote_log_is_complete_after_every_flush(bucket):
    log = open_log(paths.to_path("gs://bucket/logs/events"))
    pieces = [bytes([number]) * (300_000 * (number % 3) + 1) for number in range(12)]
    for number, piece in enumerate(pieces, start=1):
        log.write(piece)
        log.flush()
        found = [bucket.objects[name] for name in sorted(bucket.objects)]
        assert b"".join(found) == b"".join(pieces[:number])
    requests = len(bucket.requests)
    log.flush()  # nothing is new
    log.close()
    assert len(bucket.requests) == requests


def test_a_local_log_replaces_nothing(tmp_path):
    with open_log(tmp_path / "events") as log:
        log.write(b"x")
    with pytest.raises(FileExistsError):
        open_log(tmp_path / "events")
