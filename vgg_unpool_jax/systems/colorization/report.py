"""What an evaluation of colourisation reports, beside grey and the mean colour."""

import jax
import jax.numpy as jnp

from vgg_unpool_jax.evaluation.metrics import MetricInfo, photo_psnr
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET, Report
from vgg_unpool_jax.ops.lab import ciede2000, rgb_to_lab
from vgg_unpool_jax.systems.colorization.objective import MEAN_COLOR

_INFINITY = float("inf")
# Outputs by the beginning of their metrics' names and titles.
_COMPARED = {
    "": (OUTPUT, ""),
    "gray_": (INPUT, " of grey"),
    "mean_color_": (MEAN_COLOR, " of the mean colour"),
}


def _metrics() -> dict[str, MetricInfo]:
    found = {}
    for begin, (_, of) in _COMPARED.items():
        found[f"{begin}ab_rmse"] = MetricInfo(
            f"RMSE of ab{of}", "", 2, False, (0.0, _INFINITY)
        )
        found[f"{begin}ciede2000"] = MetricInfo(
            f"CIEDE2000{of}", "", 2, False, (0.0, _INFINITY)
        )
        if begin:
            found[f"{begin}psnr"] = MetricInfo(
                f"PSNR{of}", "dB", 2, True, (0.0, _INFINITY)
            )
    for name, of in (("colorfulness", ""), ("true_colorfulness", " of the photo")):
        found[name] = MetricInfo(f"colourfulness{of}", "", 1, None, (0.0, _INFINITY))
    return found


class ColorizationReport(Report):
    """The usual metrics, differences of colours, and colourfulness."""

    metrics = Report.metrics | _metrics()

    def photo_metrics(self, outputs):
        """Add them; traced."""
        found = super().photo_metrics(outputs)
        target = outputs[TARGET]
        lab = rgb_to_lab(target)
        for begin, (name, _) in _COMPARED.items():
            images = jnp.clip(outputs[name], 0.0, 255.0)
            other = rgb_to_lab(images)
            squares = jnp.square(other - lab)[..., 1:]
            found[f"{begin}ab_rmse"] = jnp.sqrt(jnp.mean(squares, axis=(1, 2, 3)))
            found[f"{begin}ciede2000"] = jnp.mean(ciede2000(lab, other), axis=(1, 2))
            if begin:
                found[f"{begin}psnr"] = photo_psnr(images, target)
        found["colorfulness"] = colorfulness(jnp.clip(outputs[OUTPUT], 0.0, 255.0))
        found["true_colorfulness"] = colorfulness(target)
        return found

    def lines(self, metrics, collected, size) -> list[str]:
        """Add the ratio of colourfulness."""
        made, true = (
            metrics[name].mean for name in ("colorfulness", "true_colorfulness")
        )
        lines = super().lines(metrics, collected, size)
        if true:  # grey photos have none
            lines.insert(0, f"colourfulness: {made / true:.2f} of that of the photos")
        return lines


def colorfulness(images: jax.Array) -> jax.Array:
    """Colourfulness (n,) of RGB images (n, h, w, 3) in [0, 255]; 0 for grey.

    Source: Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003.
    """
    red, green, blue = (images[..., channel] for channel in range(3))
    opponents = jnp.stack([red - green, 0.5 * (red + green) - blue])
    deviation = jnp.std(opponents, axis=(2, 3))
    mean = jnp.mean(opponents, axis=(2, 3))
    spread, shift = (
        jnp.sqrt(jnp.sum(jnp.square(values), axis=0)) for values in (deviation, mean)
    )
    return spread + 0.3 * shift
