"""Suite `convolution`: the 3×3 layers of a pair, forward and their two gradients.

Our default beside each implementation of `ops.convolution.convolve`, and torch. The
limit is the rate of matrix products, for the FLOPs of the textbook; "winograd" and
"native" may exceed it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.flops import convolution_flops
from benchmarks.harness import Candidate, Case, Report, platform
from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, Convolution
from vgg_unpool_jax.ops.convolution import IMPLEMENTATIONS, convolve

SUITE = "convolution"
# Argument of the convolution whose gradient is taken.
_KINDS = {"forward": None, "gradient of images": 0, "gradient of kernel": 1}
_TOLERANCE, _TOLERANCE_TF32 = 1e-4, 3e-2
# The encoder's layers of other widths; the first also turned, as the decoder's last.
_LAYERS = (
    "block1_conv1",
    "block1_conv2",
    "block2_conv2",
    "block3_conv2",
    "block4_conv2",
)


def measure(report: Report) -> None:
    """Check and time every layer and direction."""
    report.skip_peers(SUITE, "tensorflow")
    batch, size = report.settings.step_shape
    for layer in VGG19_CONVOLUTIONS:
        if layer.name not in _LAYERS:
            continue
        for turned in (False, True) if layer.inputs == 3 else (False,):
            widths = (layer.inputs, layer.outputs)[:: -1 if turned else 1]
            side = size // 2 ** (layer.block - 1)
            for kind in _KINDS:
                name = f"{kind}: {widths[0]}→{widths[1]} {batch}×{side}² float32"
                if report.wants(name):
                    _measure(name, kind, layer, (batch, side, *widths), report)


def _measure(name, kind, layer: Convolution, shape, report: Report) -> None:
    batch, side, inputs, outputs = shape
    arrays = [
        report.generator.standard_normal(array_shape, np.float32)
        for array_shape in (
            (batch, side, side, inputs),
            (3, 3, inputs, outputs),
            (batch, side, side, outputs),
        )
    ]
    amount = convolution_flops(layer, batch, *[side * 2 ** (layer.block - 1)] * 2)
    facts = {"kind": kind, "shape": list(shape)}
    case = Case(SUITE, name, "float32", amount, "matmul", facts)
    tolerance = _TOLERANCE if platform() == "cpu" else _TOLERANCE_TF32
    builders = _builders(_KINDS[kind], arrays, report.peers)
    report.time(case, report.check(case, builders, tolerance))


def _builders(direction, arrays, peers):
    """(name, function that makes the candidate), ours first."""
    for implementation in (None, *IMPLEMENTATIONS):
        name = f"ours, {implementation}" if implementation else "ours"
        yield name, functools.partial(_candidate, direction, *arrays, implementation)
    if "torch" in peers:
        from benchmarks import torch_ops

        for name, (memory_format, compiled) in torch_ops.layouts().items():
            if not compiled:
                build = functools.partial(torch_ops.convolution, direction, *arrays)
                yield name, functools.partial(build, memory_format)


def _candidate(direction, images, kernel, cotangent, implementation) -> Candidate:
    images, kernel, cotangent = map(jnp.asarray, (images, kernel, cotangent))
    bias = jnp.zeros(kernel.shape[3])

    def forward(images, kernel):
        return convolve(images, kernel, bias, implementation=implementation)

    def gradient(images, kernel, cotangent):
        # XLA removes the rest of the forward pass, whose result is not used.
        _, pull = jax.vjp(forward, images, kernel)
        return pull(cotangent)[direction]

    if direction is None:
        run = functools.partial(jax.jit(forward), images, kernel)
    else:
        run = functools.partial(jax.jit(gradient), images, kernel, cotangent)
    return Candidate(run, result=lambda: {"result": run()})
