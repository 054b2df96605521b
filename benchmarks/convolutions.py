"""Suite `convolution`: the 3×3 layers of a pair, forward and their two gradients.

Our default beside each implementation of `ops.convolution.convolve`, and torch. The
limit is the rate of matrix products, for the FLOPs of the textbook; "winograd" may
exceed it.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.checks import require_close
from benchmarks.flops import convolution_flops
from benchmarks.peers import Peers, torch_device, torch_wait
from benchmarks.pooling_work import Program
from benchmarks.report import Case, Report, is_unsupported, platform
from benchmarks.settings import Settings
from benchmarks.timing import Candidate
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, Convolution
from vgg_unpool_jax.ops.convolution import IMPLEMENTATIONS, convolve

SUITE = "convolution"
FORWARD, IMAGES, KERNEL = "forward", "gradient of images", "gradient of kernel"
TOLERANCE = 1e-4
_TOLERANCE_TF32 = 3e-2
# The encoder's layers of other widths, and the decoder's last, which mirrors the first.
_LAYERS = (
    "block1_conv1",
    "block1_conv2",
    "block2_conv2",
    "block3_conv2",
    "block4_conv2",
)


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Check and time every layer and direction."""
    if "tensorflow" in peers:
        report.skip(SUITE, "all", "tensorflow", "the suite has no such peer")
    batch, size = settings.step_shape
    layers = {layer.name: layer for layer in VGG19_CONVOLUTIONS}
    for layer in map(layers.get, _LAYERS):
        for turned in (False, True) if layer.inputs == 3 else (False,):
            widths = (layer.inputs, layer.outputs)[:: -1 if turned else 1]
            side = size // 2 ** (layer.block - 1)
            for kind in (FORWARD, IMAGES, KERNEL):
                name = f"{kind}: {widths[0]}→{widths[1]} {batch}×{side}² float32"
                if report.wants(name):
                    _measure(name, kind, layer, (batch, side, *widths), peers, report)


def _measure(name, kind, layer: Convolution, shape, peers, report) -> None:
    batch, side, inputs, outputs = shape
    draw = report.generator.standard_normal
    images = draw((batch, side, side, inputs), np.float32)
    kernel = draw((3, 3, inputs, outputs), np.float32)
    cotangent = draw((batch, side, side, outputs), np.float32)
    amount = convolution_flops(layer, batch, *[side * 2 ** (layer.block - 1)] * 2)
    facts = {"kind": kind, "shape": list(shape)}
    case = Case(SUITE, name, "float32", amount, "matmul", facts)
    tolerance = TOLERANCE if platform() == "cpu" else _TOLERANCE_TF32
    candidates, ours = {}, None
    for candidate, build in _builders(kind, images, kernel, cotangent, peers):
        try:
            program = build()
            came = {"result": program.read(program.candidate())}
        except Exception as error:
            if candidate == "ours" or not is_unsupported(error):
                raise
            report.skip(SUITE, name, candidate, str(error).splitlines()[0])
            continue
        ours = ours or came
        require_close(name, candidate, came, ours, tolerance)
        candidates[candidate] = program.candidate
    report.time(case, candidates)


def _builders(
    kind, images, kernel, cotangent, peers
) -> Iterator[tuple[str, Callable[[], Program]]]:
    """(name, function that makes the program) of every candidate, ours first."""
    for implementation in (None, *IMPLEMENTATIONS):
        name = f"ours, {implementation}" if implementation else "ours"
        build = functools.partial(_ours, kind, images, kernel, cotangent)
        yield name, functools.partial(build, implementation)
    if "torch" in peers:
        from benchmarks.torch_pooling import FORMATS

        for name, memory_format in FORMATS.items():
            build = functools.partial(_torch, kind, images, kernel, cotangent)
            yield name, functools.partial(build, memory_format)


def _ours(kind, images, kernel, cotangent, implementation) -> Program:
    images, kernel, cotangent = map(jnp.asarray, (images, kernel, cotangent))
    bias = jnp.zeros(kernel.shape[3])

    def forward(images, kernel):
        return convolve(images, kernel, bias, implementation=implementation)

    def gradient(images, kernel, cotangent):
        # What the forward pass gives beside the gradient is not used, hence not done.
        _, pull = jax.vjp(forward, images, kernel)
        return pull(cotangent)[0 if kind == IMAGES else 1]

    if kind == FORWARD:
        run = functools.partial(jax.jit(forward), images, kernel)
    else:
        run = functools.partial(jax.jit(gradient), images, kernel, cotangent)
    return Program(Candidate(run), np.asarray)


def _torch(kind, images, kernel, cotangent, memory_format) -> Program:
    import torch

    def moved(array, order):
        return (
            torch.from_numpy(array)
            .permute(order)
            .to(torch_device())
            .contiguous(memory_format=memory_format)
        )

    x, dy = moved(images, (0, 3, 1, 2)), moved(cotangent, (0, 3, 1, 2))
    w = moved(kernel, (3, 2, 0, 1))
    wanted = (kind == IMAGES, kind == KERNEL, False)

    def run():
        with torch.no_grad():
            if kind == FORWARD:
                return torch.nn.functional.conv2d(x, w, padding=1)
            found = torch.ops.aten.convolution_backward(
                dy, x, w, None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, wanted
            )
            return found[0 if kind == IMAGES else 1]

    order = (2, 3, 1, 0) if kind == KERNEL else (0, 2, 3, 1)
    return Program(
        Candidate(run, torch_wait, peer="torch"),
        lambda result: result.permute(order).cpu().numpy(),
    )
