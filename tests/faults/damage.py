"""Damaged files: cut off, noise, other bytes, JSON of another shape."""

import copy
import json
import math

import hypothesis
from hypothesis import strategies as st

# The fixtures only give folders, which examples may share.
relaxed = hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)

# No JSON, or nested so deeply or so long that Python's reader gives up.
HOPELESS = (b"", b"{", b"[" * 50_000, b'{"a":' * 50_000, b"1" * 5_000, b"\xff\xfe{}")
# In place of a config, a list of entries, a number or a name.
ODD_VALUES = st.sampled_from(
    (
        *(None, True, 0, -1, 1e300, math.inf, 10**400, "", "x", "a\nb"),
        *([], [[1]], [{"step": "x"}], {}, {"a": 1}, {"a.b": {"": []}}),
    )
)


def _paths(tree, path=()):
    yield path
    items = tree.items() if isinstance(tree, dict) else ()
    items = enumerate(tree) if isinstance(tree, list) else items
    for key, value in items:
        yield from _paths(value, (*path, key))


@st.composite
def other_documents(draw, document):
    """JSON with one value replaced or left out."""
    *path, key = draw(st.sampled_from(list(_paths({"": document}))[1:]))
    tree = holder = {"": copy.deepcopy(document)}
    for step in path:
        holder = holder[step]
    if draw(st.booleans()) and path:
        del holder[key]
    else:
        holder[key] = draw(ODD_VALUES)
    # JSON has no infinity, but it has numbers that are too large for a float.
    return json.dumps(tree[""]).replace("Infinity", "1e999").encode()


@st.composite
def changed_bytes(draw, content):
    """The same length with one to four other bytes."""
    changed = bytearray(content)
    positions = st.integers(0, len(content) - 1)
    for position in draw(st.lists(positions, min_size=1, max_size=4)):
        changed[position] ^= draw(st.integers(1, 255))
    return bytes(changed)


def damaged(content: bytes):
    """All kinds of damage; a JSON file also becomes other JSON."""
    cut = st.integers(0, len(content) - 1).map(lambda size: content[:size])
    kinds = cut | st.binary(max_size=200) | changed_bytes(content)
    try:
        document = json.loads(content)
    except ValueError:  # a commit marker or a header
        return kinds
    return kinds | other_documents(document) | st.sampled_from(HOPELESS)


def assert_documented(call, errors, *words):
    """A call returns, or raises exactly one of the errors, in one sentence."""
    try:
        return call()
    except errors as error:
        sentence = str(error)
        assert type(error) in errors, repr(error)
        assert "\n" not in sentence
        for word in words:
            assert str(word) in sentence
        return None
