"""Rate and distortion of codecs on the same photos, from files that were decoded.

Other codecs are those of Pillow. Their files hold a container besides the payload; its
size is that of a flat grey photo of the same size, and rates are given with and without
it.
"""

import dataclasses
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

# Share of a curve's range of quality that both must have for a BD-rate.
_MIN_OVERLAP = 0.05


@dataclasses.dataclass(frozen=True)
class Method:
    """A codec with its settings, from small to large files.

    Attributes:
      name: for tables and plots.
      settings: of the curve.
      compress: (photo uint8 (h, w, 3), setting) -> bytes of a file.
      decompress: bytes -> photo.
    """

    name: str
    settings: tuple[Any, ...]
    compress: Callable[[np.ndarray, Any], bytes]
    decompress: Callable[[bytes], np.ndarray]
    # All settings, from small to large files, to come near a size.
    fine: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Point:
    """Means over photos at one setting.

    Attributes:
      setting: of the method.
      bits_per_pixel: of the whole files.
      payload_bits_per_pixel: without the container.
      psnr: mean over photos of the PSNR of RGB, in dB.
      metrics: further metrics, means over photos.
      compress_seconds: per megapixel.
      decompress_seconds: per megapixel.
    """

    setting: Any
    bits_per_pixel: float
    payload_bits_per_pixel: float
    psnr: float
    metrics: Mapping[str, float]
    compress_seconds: float
    decompress_seconds: float

    def quality(self, metric: str) -> float:
        """The PSNR ("psnr"), or another metric; of some, less is better."""
        return self.psnr if metric == "psnr" else self.metrics[metric]


def pillow_methods() -> list[Method]:
    """JPEG, JPEG 2000, WebP and AVIF by Pillow.

    JPEG with optimised tables, JPEG 2000 as a bare codestream with the irreversible
    wavelet and colour transform, WebP by its slowest method, AVIF in 4:4:4 at speed 4
    of 0 to 10.
    """
    qualities = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)
    ratios = (160, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4)
    jpeg = {"format": "JPEG", "optimize": True}
    avif = {"format": "AVIF", "subsampling": "4:4:4", "speed": 4, "max_threads": 1}
    fine_ratios = tuple(400 * 0.97**step for step in range(200))
    return [
        _pillow("JPEG 4:2:0", qualities, {**jpeg, "subsampling": "4:2:0"}),
        _pillow("JPEG 4:4:4", qualities, {**jpeg, "subsampling": "4:4:4"}),
        Method("JPEG 2000", ratios, _compress_jpeg2000, _open, fine_ratios),
        _pillow("WebP", qualities, {"format": "WEBP", "method": 6}),
        _pillow("AVIF", qualities, avif),
    ]


def _pillow(name: str, qualities: Sequence[int], options: Mapping[str, Any]) -> Method:
    def compress(photo: np.ndarray, quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, quality=quality, **options)
        return buffer.getvalue()

    return Method(name, tuple(qualities), compress, _open, range(101))


def _compress_jpeg2000(photo: np.ndarray, ratio: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(
        buffer,
        format="JPEG2000",
        quality_mode="rates",
        quality_layers=[ratio],
        irreversible=True,
        mct=1,  # without it the channels are coded apart, which costs 2 dB
        no_jp2=True,
    )
    return buffer.getvalue()


def _open(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def trained_method(codec: Any, effort: int = 0) -> Method:
    """A `TrainedCodec` as a method; see its `compress` for the effort."""
    qualities = tuple(range(1, codec.num_qualities + 1))
    name = f"{codec.name}, effort {effort}" if effort else codec.name

    def compress(photo: np.ndarray, quality: int) -> bytes:
        return codec.compress(photo, quality, effort=effort)

    return Method(name, qualities, compress, codec.decompress, qualities)


def measure(
    method: Method,
    photos: Sequence[np.ndarray],
    metrics: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
    follow: Callable[..., Iterable] | None = None,
) -> list[Point]:
    """Compress and decompress all photos at all settings.

    Args:
      method: the codec.
      photos: uint8 (h, w, 3) each.
      metrics: further metrics of (decoded, photo).
      follow: (settings, desc=...) -> the same, showing progress.
    """
    points, settings = [], method.settings
    if follow is not None:
        settings = follow(settings, desc=method.name)
    # Sizes of containers. Both directions, so that no time has a compilation in it.
    flat = {}
    for photo in photos:
        if photo.shape not in flat:
            content = method.compress(np.full_like(photo, 128), method.settings[0])
            method.decompress(content)
            flat[photo.shape] = len(content)
    for setting in settings:
        rows = [
            _measure_one(method, photo, setting, flat[photo.shape], metrics or {})
            for photo in photos
        ]
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        named = {name: means.pop(name) for name in metrics or {}}
        points.append(Point(setting=setting, metrics=named, **means))
    return points


def _measure_one(method, photo, setting, container, metrics) -> dict[str, float]:
    pixels = photo.shape[0] * photo.shape[1]
    times = [time.perf_counter()]
    content = method.compress(photo, setting)
    times.append(time.perf_counter())
    decoded = method.decompress(content)
    times.append(time.perf_counter())
    if decoded.shape != photo.shape:
        raise ValueError(f"{method.name} decoded {decoded.shape} of {photo.shape}")
    error = np.mean(np.square(decoded.astype(np.float64) - photo))
    spent = np.diff(times) / pixels * 1e6
    return {
        "bits_per_pixel": 8 * len(content) / pixels,
        "payload_bits_per_pixel": 8 * max(len(content) - container, 0) / pixels,
        "psnr": float(10 * np.log10(255**2 / max(error, 1e-3))),
        "compress_seconds": spent[0],
        "decompress_seconds": spent[1],
        **{name: metric(decoded, photo) for name, metric in metrics.items()},
    }


def bd_rate(
    curve: Sequence[Point],
    anchor: Sequence[Point],
    *,
    payload: bool = False,
    metric: str = "psnr",
) -> float | None:
    """Bjøntegaard's difference of rates at equal quality.

    Logarithms of the rates are interpolated over the quality by monotone cubic
    polynomials.

    Args:
      curve: of a codec.
      anchor: of the codec that it is compared with.
      payload: whether rates are those without the container.
      metric: the quality, see `Point.quality`.

    Returns:
      The mean difference in percent, negative if `curve` needs fewer bits; None if the
      curves have less than a twentieth of their qualities in common.

    Source: ITU-T VCEG-M33, with the interpolation of the JCT-VC's common conditions.
    """
    from scipy.interpolate import PchipInterpolator

    field = "payload_bits_per_pixel" if payload else "bits_per_pixel"
    interpolated = []
    for points in (curve, anchor):
        pairs = sorted(
            (point.quality(metric), getattr(point, field)) for point in points
        )
        quality, rates = (np.asarray(values) for values in zip(*pairs, strict=True))
        kept = np.concatenate([[True], np.diff(quality) > 1e-9]) & (rates > 0)
        if kept.sum() < 2:
            return None
        quality, rates = quality[kept], rates[kept]
        interpolated.append((PchipInterpolator(quality, np.log(rates)), quality))
    low = max(quality[0] for _, quality in interpolated)
    high = min(quality[-1] for _, quality in interpolated)
    spans = [quality[-1] - quality[0] for _, quality in interpolated]
    if high - low < _MIN_OVERLAP * min(spans):
        return None
    ours, other = (curve.integrate(low, high) for curve, _ in interpolated)
    return float(100 * (np.exp((ours - other) / (high - low)) - 1))
