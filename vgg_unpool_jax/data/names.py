"""Names of photos, as far as people and files of text can take them."""

import unicodedata


def shown_name(name: str) -> str:
    """A photo's name on one line: control characters and stray bytes are escaped.

    Args:
      name: of any file. One whose bytes are no UTF-8 holds surrogates in Python, which
        neither a log nor a result file can say.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) == "Cc" else letter
        for letter in text
    )
