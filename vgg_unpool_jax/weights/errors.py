"""Errors that the weight readers raise, each of them one sentence for the user."""


class WeightsError(Exception):
    """A weight file cannot be used; the message names the file and the reason."""


class WeightsUnavailableError(WeightsError):
    """No weight file is here and none could be fetched; the message says what to do."""


class ReleaseError(WeightsError, ValueError):
    """A released decoder cannot be read or written; the message says which and why."""


class ReleaseUnavailableError(ReleaseError, WeightsUnavailableError):
    """A released decoder is not here and could not be fetched; it says what to do."""


def first_line(error: BaseException) -> str:
    """Shorten another library's error text so that it fits into one sentence.

    Args:
        error: the exception as it was caught.

    Returns:
        The first line of its text, at most 160 characters, without a final full stop;
        the name of its class where it has no text.
    """
    text = str(error).strip()
    if not text:
        return type(error).__name__
    # Several sentences on one line would make ours more than one.
    line = text.splitlines()[0].split(". ")[0].rstrip(" .")
    return line if len(line) <= 160 else line[:157] + "..."
