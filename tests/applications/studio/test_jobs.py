import pytest

from vgg_unpool_jax.applications.studio.jobs import (
    CancelledError,
    Job,
    Sessions,
    safe_name,
)
from vgg_unpool_jax.errors import PhotoError


@pytest.fixture
def uploads(tmp_path):
    (tmp_path / "uploads" / "sessions").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "uploads"


@pytest.fixture
def sessions(uploads):
    return Sessions(uploads / "sessions", uploads)


def _upload(uploads, name="a.png"):
    path = uploads / "0123" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a photo")
    return path


def test_expected_loops_and_parts_have_their_shares_of_the_progress():
    seen = []
    job = Job(lambda share, what: seen.append((round(share, 3), what)))
    job.expect(2)
    for desc in ("first", "second"):
        assert list(job.follow("ab", desc=desc)) == ["a", "b"]
    assert seen == [
        *((0.0, "first"), (0.25, "first"), (0.5, "second"), (0.75, "second"))
    ]
    seen.clear()
    job.expect(1)
    for _ in job.parts("xy", lambda n: f"photo {n}"):
        job.expect(1)
        list(job.follow("ab"))
    assert [share for share, _ in seen] == [0.0, 0.0, 0.25, 0.5, 0.5, 0.75]


def test_cancelling_a_session_ends_its_jobs_at_the_next_step_and_no_others(sessions):
    mine, theirs = sessions.of("mine"), sessions.of("theirs")
    with mine.job() as job, theirs.job() as other:
        steps = job.follow(range(9))
        assert next(steps) == 0
        mine.cancel()
        with pytest.raises(CancelledError):
            next(steps)
        assert list(other.follow(range(2))) == [0, 1]
    with mine.job() as later:
        assert list(later.follow(range(2))) == [0, 1]


def test_paths_that_were_not_uploaded_are_refused(sessions, uploads):
    session = sessions.of("one")
    link = uploads / "link.png"
    link.symlink_to(uploads.parent / "secret.txt")
    result = sessions.of("other").new_file("result.png")
    result.write_bytes(b"of somebody else")
    for path in (
        uploads.parent / "secret.txt",
        uploads / ".." / "secret.txt",
        f"{uploads}/0123/../../secret.txt",
        link,
        uploads,
        result,
        uploads / "none.png",
        "https://example.com/a.png",
        "a\0b",
        "",
    ):
        with pytest.raises(PhotoError, match="was not uploaded here"):
            sessions.adopt(session, str(path))
    assert sessions.adopt(session, str(_upload(uploads))).name == "a.png"


def test_the_files_of_a_session_go_with_it_but_not_those_of_others(sessions, uploads):
    shared, own = _upload(uploads), _upload(uploads, "b.png")
    first, second = sessions.of("first"), sessions.of("second")
    result = first.new_file("result.png")
    result.write_bytes(b"")
    for session, path in ((first, shared), (second, shared), (first, own)):
        sessions.adopt(session, str(path))
    sessions.end("first")
    assert not result.exists() and not own.exists()
    assert shared.exists(), "somebody else uploaded the same file"
    sessions.end("second")
    assert not shared.exists()
    assert not list((uploads / "sessions").iterdir())
    sessions.of("third")
    sessions.end_old(seconds=60)
    assert len(list((uploads / "sessions").iterdir())) == 1
    sessions.end_old(seconds=-1)
    assert not list((uploads / "sessions").iterdir())


def test_names_of_uploads_are_made_safe():
    assert safe_name("../../etc/passwd") == "passwd"
    assert safe_name("C:\\photos\\a b.jpg") == "a b.jpg"
    assert safe_name("..") == "photo" and safe_name("") == "photo"
    assert "\n" not in safe_name("a\nb.png") and '"' not in safe_name('a".png')
    assert len(safe_name("x" * 300 + ".safetensors")) <= 80
    assert safe_name("x" * 300 + ".safetensors").endswith(".safetensors")
