"""Errors that a user can mend, printed by commands as one sentence, and helpers."""

import os


class UserError(Exception):
    """Something a user can mend; the message names it and says what is expected."""

    def __str__(self):
        """The message on one line: quoted names may contain line breaks."""
        text = super().__str__()
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class ConfigError(UserError, ValueError):
    """A config or option that is missing, damaged, contradictory or not the run's."""


class SourceError(UserError, ValueError):
    """A source of photos that is missing, empty, damaged or misspelt."""


class PhotoError(UserError):
    """One photo cannot be read; the message names it and says why."""


class MaskError(PhotoError):
    """The mask of one photo is missing or cannot be used; the message names it."""


class BrokenPhotosError(UserError, RuntimeError):
    """More photos are broken than the caller allows."""


class WeightsError(UserError):
    """A weight file cannot be used."""


class WeightsUnavailableError(WeightsError):
    """No weight file is here and none could be downloaded."""


class WeightsMismatchError(WeightsError, ValueError):
    """The pretrained weights are not those that a model was trained with."""


class ReleaseError(WeightsError, ValueError):
    """A released model cannot be read or written."""


class ReleaseUnavailableError(ReleaseError, WeightsUnavailableError):
    """A released model is not here and could not be downloaded."""


class CheckpointError(UserError, ValueError):
    """A checkpoint is missing or of another model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint holds other bytes than were written."""


class RemoteError(UserError, OSError):
    """A remote file cannot be reached."""


class TrainingDivergedError(UserError, FloatingPointError):
    """A loss or norm became NaN or infinite."""


class PreemptedError(UserError):
    """Training was asked to stop and has saved its state.

    Attributes:
      step: of the checkpoint.
    """

    def __init__(self, step: int, total_steps: int, workdir):
        """Say what was saved where."""
        self.step = step
        super().__init__(
            f"asked to stop, the training saved step {step} of {total_steps} in "
            f"{workdir}; the same command resumes it"
        )


def first_line(error: BaseException) -> str:
    """Shorten another library's error text so that it fits into one sentence.

    Args:
      error: the exception as it was caught.

    Returns:
      The first line of its text, at most 160 characters, without a final full stop; the
      name of its class where it has no text.
    """
    text = str(error).strip()
    if not text:
        return type(error).__name__
    # Several sentences on one line would make ours more than one.
    line = text.splitlines()[0].split(". ")[0].rstrip(" .")
    return line if len(line) <= 160 else line[:157] + "..."


def require_list(name: str, value) -> None:
    """Raise `ConfigError` for a text or path, whose letters would be the entries.

    Args:
      name: of the argument, for the message.
      value: where a sequence of several is expected.
    """
    if isinstance(value, str | bytes | os.PathLike):
        raise ConfigError(
            f"{name} must be a list, got {value!r}: write [{value!r}] for one"
        )


def require_image(name: str, array, rank: int, channels: int | None = 3) -> None:
    """Check the shape of an image argument.

    Args:
      name: of the argument, for the error message.
      array: an array of NumPy, jax or another library with the attribute `shape`.
      rank: 3 for one image (height, width, channels), 4 for a batch
        (n, height, width, channels).
      channels: the required number of channels; None accepts any.

    Raises:
      ValueError: the array has another rank or number of channels, or is empty.
    """
    shape = tuple(array.shape)
    if (
        len(shape) != rank
        or 0 in shape
        or (channels is not None and shape[-1] != channels)
    ):
        axes = ("n", "height", "width", str(channels or "channels"))[-rank:]
        raise ValueError(
            f"{name} must have shape ({', '.join(axes)}), none of them 0, got {shape}"
        )
