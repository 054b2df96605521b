"""JSON files: what was written is read; anything else is one sentence."""

import pytest

from vgg_unpool_jax.errors import ConfigError, ReleaseError
from vgg_unpool_jax.io import json_file


def test_what_was_written_is_read(tmp_path):
    content = {"b": [1, 2.5, None], "a": {"\u00fc": True}}
    path = tmp_path / "new" / "file.json"
    json_file.write(path, content)
    assert json_file.read(path) == content
    assert list(json_file.read(path)) == ["b", "a"]
    json_file.write(path, content, sort_keys=True)
    assert list(json_file.read(path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a JSON object"),
        (b'{"a": 1', "is not a JSON object"),
        (b"\xff\xfe\x00", "is not a JSON object"),
        (b"<html></html>", "is not a JSON object"),
        (b'{"a":' * 100_000, "is not a JSON object"),
        (b"[1, 2]", "is not a JSON object: it holds a list"),
        (None, "cannot be read: No such file"),
    ],
    ids=["empty", "truncated", "binary", "html", "deep", "list", "missing"],
)
def test_other_content_is_one_sentence_that_names_the_file(content, words, tmp_path):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        json_file.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(ReleaseError, match=words):
        json_file.read(path, refusal=ReleaseError)
