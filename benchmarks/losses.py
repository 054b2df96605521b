"""Suite `losses`: L1, L2 and MS-SSIM, their values and gradients.

The limit is the copy bandwidth: a loss has to read two images, and its gradient to
write one. MS-SSIM also computes on four halved sizes, which is not counted. All
programs compute in float32, whatever the dtype of the networks.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Candidate, Case, Report, platform
from benchmarks.pair import draw_photos
from benchmarks.step import tolerance
from vgg_unpool_jax.losses import l1, l2, ms_ssim_loss

SUITE = "losses"
_OURS = {"l1": l1, "l2": l2, "ms_ssim": ms_ssim_loss}
_KINDS = {"value": False, "value and gradient": True}


def measure(report: Report) -> None:
    """Check and time every loss on every shape."""
    shapes = [(1, 176)] if report.settings.small else [(4, 192), (1, 1024)]
    if platform() != "cpu":
        shapes.append((32, 256))
    for batch, side in shapes:
        for loss in _OURS:
            for kind, with_gradient in _KINDS.items():
                name = f"{loss}, {kind}: {batch}×{side}²×3 float32"
                if not report.wants(name):
                    continue
                targets = draw_photos(report.generator, batch, side).astype(np.float32)
                noise = report.generator.normal(0, 20, targets.shape)
                predictions = (targets + noise).astype(np.float32)
                facts = {"loss": loss, "kind": kind, "shape": list(targets.shape)}
                amount = (2 + with_gradient) * targets.nbytes
                case = Case(SUITE, name, "float32", amount, "copy", facts)
                builders = _builders(
                    (loss, with_gradient, predictions, targets), report.peers
                )
                report.time(case, report.check(case, builders, tolerance("float32")))


def _builders(work: tuple, peers):
    """(name, function that makes the candidate), ours first."""
    yield "ours", functools.partial(_candidate, *work)
    if "torch" in peers:
        from benchmarks import torch_ops

        for name, layout in torch_ops.layouts().items():
            yield name, functools.partial(torch_ops.loss, *work, *layout)
    if "tensorflow" in peers:
        from benchmarks import tensorflow_ops

        yield "tensorflow", functools.partial(tensorflow_ops.loss, *work)


def _candidate(loss, with_gradient, predictions, targets) -> Candidate:
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)

    # A function of its own, which shares no compiled programs with others.
    def function(x, y):
        return _OURS[loss](x, y)

    if with_gradient:
        compiled = jax.jit(jax.value_and_grad(function))
    else:
        compiled = jax.jit(lambda x, y: (function(x, y),))

    def result():
        found = compiled(predictions, targets)
        return dict(zip(("value", "gradient"), found, strict=False))

    return Candidate(lambda: compiled(predictions, targets), result=result)
