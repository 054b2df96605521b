"""The shots of a film, found in thumbnails of its frames.

A cut is a step between two frames that stands out among the steps around it. A dissolve
is a large change over some frames whose middle is the mean of its ends, pixel by pixel;
things that move are not that. Frames of a fade belong to the picture that fades.
"""

import numpy as np
import scipy.ndimage

from vgg_unpool_jax.applications.resizing import resize

# Height and width in pixels.
THUMBNAIL = 18, 32
# Mean step of the thumbnails in grey levels that is a cut; docs/video.md.
CUT = 12.0
# How many times the steps of the frames around it a cut's step is.
_RATIO = 3.0
_AROUND = 2
# Frames to both sides of the middle of a dissolve; the least change between them in
# grey levels, root mean square; how far the middle is from their mean, as a share of
# it; and its contrast beside theirs: two pictures laid over each other are dull.
_REACH = 8
_CHANGE = 20.0
_LINEAR = 0.3
_DULL = 0.9
# Deviation of a thumbnail's pixels in grey levels below which it shows nothing.
_FLAT = 6.0
# Frames that are compared at once.
_BLOCK = 1024


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """A frame (h, w, 3) as uint8 (*THUMBNAIL, 3)."""
    return np.clip(np.rint(resize(frame, THUMBNAIL)), 0, 255).astype(np.uint8)


def find_shots(thumbnails: np.ndarray, *, cut: float = CUT) -> np.ndarray:
    """Find the shot of each frame.

    Args:
      thumbnails: uint8 (n, ...) of all frames in order.
      cut: least mean step in grey levels of a cut; math.inf finds no cuts, and no
        dissolves either.

    Returns:
      float64 (n,), not falling: the number of the shot from 0; between two numbers for
      a frame of a dissolve, by the share of the later shot in it.
    """
    film = np.reshape(thumbnails, (len(thumbnails), -1))
    positions = np.zeros(len(film))
    if not np.isfinite(cut):
        return positions
    contrasts = contrast(thumbnails)
    cuts = sorted(_cuts(film, cut) | _after_nothing(contrasts))
    shows = contrasts >= _FLAT
    cuts = [at for at in cuts if shows[at] and shows[:at].any()]
    changes = [(at, at) for at in cuts] + _dissolves(film, contrasts, cuts)
    for first, last in sorted(changes):
        positions[last:] += 1
        if first < last:
            ends, frames = _rows(film, [first, last]), np.arange(first, last)
            way = ends[1] - ends[0]
            shares = (_rows(film, frames) - ends[0]) @ way / (way @ way)
            positions[first:last] += np.maximum.accumulate(np.clip(shares, 0, 1))
    return positions


def contrast(thumbnails: np.ndarray) -> np.ndarray:
    """Deviation of the pixels of each thumbnail in grey levels, (n,)."""
    pixels = np.reshape(thumbnails, (len(thumbnails), -1, np.shape(thumbnails)[-1]))
    return _by_blocks(
        lambda frames: np.sqrt(_rows(pixels, frames).var(axis=1).mean(axis=-1)),
        np.arange(len(pixels)),
    )


def choose_keyframes(
    positions: np.ndarray, contrasts: np.ndarray, shot: int, count: int
) -> np.ndarray:
    """Frames that stand for a shot, evenly spaced, not faded.

    Args:
      positions: of `find_shots`.
      contrasts: of `contrast`.
      shot: its number.
      count: how many; a short shot has some of them several times.

    Returns:
      int (count,), not falling.
    """
    frames = np.flatnonzero(positions == shot)
    clear = frames[contrasts[frames] >= contrasts[frames].max() / 2]
    return clear[(2 * np.arange(count) + 1) * len(clear) // (2 * count)]


def _rows(film, frames) -> np.ndarray:
    """Frames as float32, their numbers limited to the film's."""
    return film[np.clip(frames, 0, len(film) - 1)].astype(np.float32)


def _by_blocks(measure, frames) -> np.ndarray:
    """A number for each frame; a film as float32 is large."""
    blocks = np.array_split(frames, len(frames) // _BLOCK + 1)
    return np.concatenate([measure(block) for block in blocks])


def _steps(film, frames, first, second) -> np.ndarray:
    """Mean absolute difference of the pictures at two places beside each frame."""
    return _by_blocks(
        lambda at: np.abs(_rows(film, at + first) - _rows(film, at + second)).mean(-1),
        frames,
    )


def _cuts(film, cut) -> set[int]:
    """The frames at which the picture is suddenly another."""
    frames = np.arange(1, len(film))
    steps = _steps(film, frames, 0, -1)
    window = np.ones(2 * _AROUND + 1)
    window[_AROUND] = 0
    sums, counts = (
        np.convolve(np.pad(x, _AROUND), window)[2 * _AROUND :][: len(x)]
        for x in (steps, np.ones_like(steps))
    )
    # One frame of flash light, after which the picture is as before, is no cut.
    stays = np.minimum(_steps(film, frames, 1, -1), _steps(film, frames, 0, -2))
    stands_out = steps * np.maximum(counts, 1) > _RATIO * sums
    return set(frames[(steps > cut) & (stays > cut) & stands_out].tolist())


def _after_nothing(contrasts) -> set[int]:
    """The frames that show something after black."""
    shows = contrasts >= _FLAT
    # A white flash shows nothing for a frame or two.
    shows = scipy.ndimage.binary_closing(np.pad(shows, 2, "edge"), np.ones(3))[2:-2]
    return set((np.flatnonzero(shows[1:] & ~shows[:-1]) + 1).tolist())


def _dissolves(film, contrasts, cuts) -> list[tuple[int, int]]:
    """The last frame before and the first after each dissolve."""
    if len(film) <= 2 * _REACH:
        return []

    def change_and_bend(first):
        before, middle, after = (_rows(film, first + i * _REACH) for i in range(3))
        parts = after - before, middle - (before + after) / 2
        return np.sqrt([np.square(part).mean(axis=-1) for part in parts]).T

    change, bend = _by_blocks(change_and_bend, np.arange(len(film) - 2 * _REACH)).T
    ends = np.stack([contrasts[: -2 * _REACH], contrasts[2 * _REACH :]])
    dull = contrasts[_REACH:-_REACH] < _DULL * ends.mean(axis=0)
    dull &= ends.min(axis=0) > ends.max(axis=0) / 2  # a fade is no dissolve
    found = (change > _CHANGE) & (bend < _LINEAR * change)
    for at in cuts:
        found[max(at - 2 * _REACH, 0) : at] = False
    edges = np.flatnonzero(np.diff(np.pad(found.astype(int), 1)))
    dissolves, least = [], 0
    for first, stop in edges.reshape(-1, 2).tolist():
        if dull[first:stop].any():
            last = stop - 1 + 2 * _REACH
            dissolves.append((max(first, least), last))
            least = last
    return dissolves
