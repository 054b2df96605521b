"""Suite `losses`: L1, L2 and MS-SSIM, their values and gradients.

The limit is the copy bandwidth: a loss has to read two images, and its gradient to
write one. MS-SSIM also computes on four halved sizes, which is not counted. All
programs compute in float32, whatever the dtype of the networks.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.checks import require_close
from benchmarks.our_pair import draw_photos
from benchmarks.peers import Peers, tensorflow_wait, torch_device, torch_wait
from benchmarks.pooling_work import Program
from benchmarks.report import Case, Report, is_unsupported, platform
from benchmarks.settings import Settings
from benchmarks.timing import Candidate
from vgg_unpool_jax.losses import l1, l2, ms_ssim_loss

SUITE = "losses"
_OURS = {"l1": l1, "l2": l2, "ms_ssim": ms_ssim_loss}
VALUE, GRADIENT = "value", "value and gradient"
TOLERANCE = 1e-3
_TOLERANCE_TF32 = 3e-2


def shapes(settings: Settings) -> list[tuple[int, int]]:
    """(batch, side) of the images."""
    if settings.small:
        return [(1, 176)]
    found = [(4, 192), (1, 1024)]
    return found if platform() == "cpu" else [(32, 256), *found]


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Check and time every loss on every shape."""
    for batch, side in shapes(settings):
        for loss in _OURS:
            for kind in (VALUE, GRADIENT):
                name = f"{loss}, {kind}: {batch}×{side}²×3 float32"
                if not report.wants(name):
                    continue
                targets = draw_photos(report.generator, batch, side).astype(np.float32)
                noise = report.generator.normal(0, 20, targets.shape)
                predictions = (targets + noise).astype(np.float32)
                arrays = 2 if kind == VALUE else 3
                facts = {"loss": loss, "kind": kind, "shape": list(targets.shape)}
                amount = arrays * targets.nbytes
                case = Case(SUITE, name, "float32", amount, "copy", facts)
                programs = _programs(loss, kind, predictions, targets, peers)
                report.time(case, _checked(case, programs, report))


def _checked(case, programs, report) -> dict[str, Candidate]:
    candidates, ours = {}, None
    tolerance = TOLERANCE if platform() == "cpu" else _TOLERANCE_TF32
    for name, program in programs:
        try:
            came = program.read(program.candidate())
        except Exception as error:
            if name == "ours" or not is_unsupported(error):
                raise
            report.skip(SUITE, case.name, name, str(error).splitlines()[0])
            continue
        ours = ours or came
        require_close(case.name, name, came, ours, tolerance)
        candidates[name] = program.candidate
    return candidates


def _programs(loss, kind, predictions, targets, peers) -> Iterator[tuple[str, Program]]:
    """(name, program) of every candidate, ours first."""
    yield "ours", _our_program(loss, kind, predictions, targets)
    if "torch" in peers:
        yield from _torch_programs(loss, kind, predictions, targets)
    if "tensorflow" in peers:
        yield "tensorflow", _tensorflow_program(loss, kind, predictions, targets)


def _named(kind, result) -> dict:
    """A result, or a pair of value and gradient, by name."""
    if kind == VALUE:
        return {"value": float(result)}
    return {"value": float(result[0]), "gradient": np.asarray(result[1])}


def _our_program(loss, kind, predictions, targets) -> Program:
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    function = _OURS[loss]
    # A function of its own, which shares no cache of compilations with others.
    if kind == VALUE:
        compiled = jax.jit(lambda x, y: function(x, y))
    else:
        compiled = jax.jit(jax.value_and_grad(lambda x, y: function(x, y)))
    run = functools.partial(compiled, predictions, targets)
    return Program(Candidate(run), functools.partial(_named, kind))


def _torch_programs(loss, kind, predictions, targets) -> Iterator[tuple[str, Program]]:
    import torch

    from benchmarks.torch_losses import LOSSES
    from benchmarks.torch_pooling import FORMATS

    variants = {name: (chosen, False) for name, chosen in FORMATS.items()}
    if torch_device().type == "cuda":
        variants["torch, compiled"] = (torch.contiguous_format, True)
    for name, (memory_format, compiled) in variants.items():
        x, y = (
            torch.from_numpy(array)
            .permute(0, 3, 1, 2)
            .to(torch_device())
            .contiguous(memory_format=memory_format)
            for array in (predictions, targets)
        )
        function = LOSSES[loss]
        if compiled:
            function = torch.compile(function, dynamic=False)

        def value(x=x, y=y, function=function):
            with torch.no_grad():
                return function(x, y)

        def gradient(x=x, y=y, function=function):
            x = x.detach().requires_grad_()
            result = function(x, y)
            return result.detach(), torch.autograd.grad(result, x)[0]

        def read(result):
            if kind == VALUE:
                return _named(kind, result.cpu())
            moved = result[1].permute(0, 2, 3, 1).cpu().numpy()
            return _named(kind, (result[0].cpu(), moved))

        run = value if kind == VALUE else gradient
        yield name, Program(Candidate(run, torch_wait, peer="torch"), read)


def _tensorflow_program(loss, kind, predictions, targets) -> Program:
    import tensorflow as tf

    from benchmarks import tensorflow_losses

    make = {
        VALUE: tensorflow_losses.value,
        GRADIENT: tensorflow_losses.value_and_gradient,
    }
    run = functools.partial(
        make[kind](loss), tf.constant(predictions), tf.constant(targets)
    )
    candidate = Candidate(run, tensorflow_wait, peer="tensorflow")
    return Program(candidate, functools.partial(_named, kind))
