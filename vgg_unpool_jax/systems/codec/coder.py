"""Entropy coding of a tile's integers by a range coder with integer tables.

Reading and writing are one procedure, `code_tile`: what is written in a step is
predicted from what was written before, in the order in which it will be read.
"""

from collections.abc import Sequence
from typing import Protocol

import constriction
import numpy as np

from vgg_unpool_jax.systems.codec.integer_net import IntegerNet
from vgg_unpool_jax.systems.codec.model import BOTH, checkerboard
from vgg_unpool_jax.systems.codec.tables import Tables

_ESCAPE_BITS = 16  # of the numbers that are coded without a table
LARGEST = 2 ** (_ESCAPE_BITS - 1) - 1  # number that can be coded
# Streams up to this number of bytes are shortened by trying.
_SHORT = 4096


class StreamError(ValueError):
    """A stream that no encoder wrote."""


class Coder(Protocol):
    """Writes integers, or reads them."""

    def code(
        self, tables: np.ndarray, middles: np.ndarray, integers: np.ndarray | None
    ) -> np.ndarray:
        """Code integers.

        Args:
          tables: (k,), the number of the table of each.
          middles: int64 (k,), what the middle of its table stands for.
          integers: int64 (k,); None for a reader.

        Returns:
          The integers.
        """


def _runs(tables: np.ndarray):
    """The order in which integers are coded, and where tables change in it."""
    order = np.argsort(tables, kind="stable")
    sorted_tables = tables[order]
    starts = np.flatnonzero(np.diff(sorted_tables, prepend=-1))
    # None if there is nothing to code: one position has no odd half.
    return order, sorted_tables, starts, np.append(starts, len(tables))[1:]


class Writer:
    """Writes integers into a stream, and remembers what was asked for."""

    def __init__(self, tables: Tables):
        """Begin a stream."""
        self._tables, self._calls = tables, []
        self._encoder = constriction.stream.queue.RangeEncoder()

    def code(self, tables, middles, integers):
        """See `Coder`."""
        self._calls.append((tables, middles, integers))
        order, numbers, starts, ends = _runs(tables)
        reach = self._tables.reach[tables]
        shifted = integers - middles + reach + 1
        escapes = (shifted < 1) | (shifted > 2 * reach + 2)
        symbols = np.where(escapes, 0, shifted).astype(np.int32)[order]
        for start, end in zip(starts, ends, strict=True):
            self._encoder.encode(symbols[start:end], self._tables.model(numbers[start]))
        for value in integers[order][escapes[order]]:
            self._encoder.encode(int(value) + LARGEST, _escape())
        return integers

    def finish(self) -> bytes:
        """The stream, without bytes at its end that a reader does not need."""
        words = self._encoder.get_compressed()
        stream = words.astype(">u4").tobytes().rstrip(b"\0")
        if len(stream) > _SHORT:
            return stream
        # The coder ends with whole words, of which fewer bytes may do.
        for length in range(max(len(stream) - 4, 0), len(stream)):
            for shorter in _endings(stream, length):
                if self._is_read_from(shorter):
                    return shorter
        return stream

    def _is_read_from(self, stream: bytes) -> bool:
        reader = Reader(self._tables, stream)
        try:
            return all(
                np.array_equal(reader.code(tables, middles), integers)
                for tables, middles, integers in self._calls
            )
        except StreamError:
            return False


class Reader:
    """Reads integers from a stream."""

    def __init__(self, tables: Tables, stream: bytes):
        """Begin to read."""
        padded = stream + bytes(-len(stream) % 4)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._tables = tables
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def code(self, tables, middles, integers=None):
        """See `Coder`; raises `StreamError`."""
        order, numbers, starts, ends = _runs(tables)
        symbols = np.empty(len(tables), np.int64)
        for start, end in zip(starts, ends, strict=True):
            symbols[start:end] = self._decode(
                self._tables.model(numbers[start]), end - start
            )
        reach = self._tables.reach[numbers]
        values = symbols - reach - 1 + middles[order]
        for place in np.flatnonzero(symbols == 0):
            values[place] = self._decode(_escape(), 1)[0].astype(np.int64) - LARGEST
        result = np.empty_like(values)
        result[order] = values
        return result

    def _decode(self, model, count: int) -> np.ndarray:
        try:
            return self._decoder.decode(model, int(count))
        except AssertionError as error:
            raise StreamError(str(error)) from error


def _escape():
    return constriction.stream.model.Uniform(2**_ESCAPE_BITS)


def code_tile(
    coder: Coder,
    tables: Tables,
    net: IntegerNet,
    steps: Sequence[tuple[int, int, int]],
    quality: int,
    hyper: np.ndarray,
    integers: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the integers of a tile, or read them.

    Args:
      coder: a writer, or a reader.
      tables: of the model.
      net: its predictor.
      steps: its order of decoding.
      quality: from 0.
      hyper: int64 (h, w, hyper channels); for a reader an array of this shape.
      integers: int64 (up to 4 h, up to 4 w, channels); for a reader an array of this
        shape.

    Returns:
      hyper and integers, as written or read.
    """
    numbers = tables.hyper(quality, hyper.shape).ravel()
    flat = coder.code(numbers, np.zeros(hyper.size, np.int64), hyper.ravel())
    hyper = flat.reshape(hyper.shape)
    height, width = integers.shape[:2]
    features = net.features(hyper, quality)[:height, :width]
    coded = np.zeros_like(integers)
    odd = checkerboard(height, width).astype(bool)
    for step, (first, end, parity) in enumerate(steps):
        means, scales = net.predict(features, coded, step, quality)
        numbers, middles = tables.conditional(means, scales)
        mask = np.ones_like(odd) if parity == BOTH else odd == bool(parity)
        part = integers[..., first:end][mask]
        values = coder.code(numbers[mask].ravel(), middles[mask].ravel(), part.ravel())
        coded[..., first:end][mask] = values.reshape(part.shape)
    return hyper, coded


def write_tile(tables, net, steps, quality, hyper, integers) -> bytes:
    """The stream of a tile; arguments as of `code_tile`."""
    writer = Writer(tables)
    code_tile(writer, tables, net, steps, quality, hyper, integers)
    return writer.finish()


def _endings(stream: bytes, length: int):
    """Streams of this length near the given one."""
    yield stream[:length]
    number = int.from_bytes(stream[:length], "big") + 1
    if number < 256**length:
        yield number.to_bytes(length, "big")


def read_tile(tables, net, steps, quality, hyper, integers, stream: bytes):
    """Hyper and other integers of a stream; the arrays are used for their shapes."""
    reader = Reader(tables, stream)
    return code_tile(reader, tables, net, steps, quality, hyper, integers)
