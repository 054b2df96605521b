"""The file of a compressed photo.

| bytes | content |
|---|---|
| 2 | `VU` |
| 1 | format version (lower four bits), flags: 16 for a grey photo |
| 3 | first bytes of the model's SHA-256 |
| 1 | quality, from 1 |
| 1 to 3 each | height, width: seven bits a byte, the lowest first, 128 if more follow |
| ... | the streams of the tiles, row by row |
| 4 | CRC-32 of all before |

A photo of one tile has its stream as it is; with more of them, each stream has its
length in front, as above, and its own CRC-32 behind it, and the CRC-32 at the end is of
the head alone: so damage stays in its tile. Nine to 13 bytes are in front of the first
stream.
"""

import dataclasses
import zlib
from collections.abc import Sequence

from vgg_unpool_jax.errors import PhotoError

MAGIC, VERSION = b"VU", 1
SUFFIX = ".vuc"
MODEL_BYTES = 3
LARGEST_SIDE = 65_535

_GREY = 16
_CRC = 4
_MIN_LENGTH = len(MAGIC) + 1 + MODEL_BYTES + 1 + 2 + _CRC


class BitstreamError(PhotoError):
    """A compressed photo that cannot be decoded."""


@dataclasses.dataclass(frozen=True)
class Head:
    """What a compressed photo says about itself.

    Attributes:
      model: first bytes of the SHA-256 of the model.
      quality: from 1.
      height: of the photo in pixels.
      width: of the photo in pixels.
      grey: whether the three channels are equal.
    """

    model: bytes
    quality: int
    height: int
    width: int
    grey: bool


def write(head: Head, streams: Sequence[bytes]) -> bytes:
    """Put head and streams together."""
    flags = VERSION | (_GREY if head.grey else 0)
    start = MAGIC + bytes([flags]) + head.model + bytes([head.quality])
    start += _number(head.height) + _number(head.width)
    if len(streams) == 1:
        content = start + streams[0]
        return content + _crc(content)
    parts = [_number(len(stream)) + stream + _crc(stream) for stream in streams]
    return start + b"".join(parts) + _crc(start)


def read_head(content: bytes, name: str) -> tuple[Head, int]:
    """Head of a compressed photo, and the position of its streams.

    Args:
      content: of the file.
      name: of the file, for messages.
    """
    if content[: len(MAGIC)] != MAGIC:
        was = "is empty" if not content else f"begins with {content[:4]!r}"
        raise BitstreamError(
            f"{name} is no compressed photo of this program: it {was}, expected "
            f"{MAGIC!r}"
        )
    if len(content) < _MIN_LENGTH:
        raise BitstreamError(
            f"{name} is truncated: it has {len(content)} bytes, expected at least "
            f"{_MIN_LENGTH}"
        )
    version = content[2] & 15
    if version > VERSION:
        raise BitstreamError(
            f"{name} has the format version {version}, and this program reads up to "
            f"{VERSION}: a newer one may read it"
        )
    model = content[3 : 3 + MODEL_BYTES]
    quality, position = content[3 + MODEL_BYTES], 4 + MODEL_BYTES
    height, position = _read_number(content, position, name)
    width, position = _read_number(content, position, name)
    if version != VERSION or content[2] & ~(15 | _GREY):
        raise _damaged(name)
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise _damaged(name)
    grey = bool(content[2] & _GREY)
    return Head(model, quality, height, width, grey), position


def read_streams(
    content: bytes, position: int, count: int, name: str
) -> list[bytes | None]:
    """The streams of a compressed photo.

    Args:
      content: of the file.
      position: of the streams, from `read_head`.
      count: number of tiles.
      name: of the file, for messages.

    Returns:
      The stream of each tile; None for one that is damaged, if there are several.

    Raises:
      BitstreamError: when the head is damaged, or the only stream.
    """
    body, crc = content[:-_CRC], content[-_CRC:]
    if count == 1:
        if _crc(body) != crc:
            raise _damaged(name)
        return [body[position:]]
    if _crc(content[:position]) != crc:
        raise _damaged(name)
    streams = []
    for _ in range(count):
        length, position = _read_number(body, position, name)
        end = position + length
        if end + _CRC > len(body):
            raise BitstreamError(f"{name} is truncated or damaged")
        stream = body[position:end]
        streams.append(stream if _crc(stream) == body[end : end + _CRC] else None)
        position = end + _CRC
    if position != len(body):
        raise _damaged(name)
    return streams


def _damaged(name: str) -> BitstreamError:
    return BitstreamError(f"{name} is damaged: its check sum is not that of its bytes")


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CRC, "little")


def _number(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _read_number(content: bytes, position: int, name: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(content):
            raise BitstreamError(f"{name} is truncated: its head or a tile ends early")
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise _damaged(name)
