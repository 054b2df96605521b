"""What can go wrong with photos and with the places they come from."""


class PhotoError(Exception):
    """One photo cannot be read; the message names the photo and says why."""


class SourceError(ValueError):
    """A source cannot be used at all: missing, empty, damaged or misspelt."""


class BrokenPhotosError(RuntimeError):
    """More photos are broken than the caller allows."""


class ReaderProcessError(RuntimeError):
    """A reader process has ended without a word, as the kernel ends those it kills."""
