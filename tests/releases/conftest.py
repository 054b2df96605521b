"""What the tests of released models share."""

import pytest


@pytest.fixture
def assert_refused():
    """Check that a call raises exactly one kind of error, in one sentence."""

    def check(call, *words, error):
        with pytest.raises(error) as caught:
            call()
        sentence = str(caught.value)
        assert type(caught.value) is error and "\n" not in sentence
        for word in words:
            assert str(word) in sentence

    return check
