"""TensorBoard event files without TensorFlow."""

import io
import os
import socket
import time
from collections.abc import Mapping

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from vgg_unpool_jax.io.log_file import open_log
from vgg_unpool_jax.io.paths import to_path


class SummaryWriter:
    """Writes scalars and pictures of one run; use as a context manager."""

    def __init__(
        self, folder: str | os.PathLike, *, first_step: int, enabled: bool = True
    ):
        """Open a new event file.

        Args:
          folder: created when missing; in a gs:// folder the event file comes in parts.
          first_step: the next step that will be logged. It supersedes later steps in
            earlier files of the folder (of a run that was killed after its last
            checkpoint).
          enabled: False writes nothing, for all but one of several processes.
        """
        self._file = self._writer = None
        if not enabled:
            return
        folder = to_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard's own EventFileWriter imports TensorFlow where it is installed,
        # which takes seconds and, on a GPU, memory.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._file = open_log(folder / f"{name}.{os.getpid()}")
        self._writer = RecordWriter(self._file)
        self._add(Event(file_version="brain.Event:2"), 0)
        session = SessionLog(status=SessionLog.START)
        self._add(Event(session_log=session), first_step)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def scalars(self, step: int, values: Mapping[str, float], prefix: str) -> None:
        """Write numbers under `prefix/name`."""
        entries = [
            Summary.Value(tag=f"{prefix}/{name}", simple_value=float(value))
            for name, value in sorted(values.items())
        ]
        self._add(Event(summary=Summary(value=entries)), step)

    def picture(self, step: int, tag: str, picture: np.ndarray) -> None:
        """Write a uint8 picture (h, w, 3)."""
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="PNG")
        image = Summary.Image(
            height=picture.shape[0],
            width=picture.shape[1],
            colorspace=3,
            encoded_image_string=buffer.getvalue(),
        )
        value = Summary.Value(tag=tag, image=image)
        self._add(Event(summary=Summary(value=[value])), step)

    def flush(self) -> None:
        """Write everything to disk."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        if self._file is not None:
            self._file.close()

    def _add(self, event: Event, step: int) -> None:
        if self._writer is None:
            return
        event.step = step
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
