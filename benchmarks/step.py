"""Suite `step`: a training step with the published losses, and a reconstruction.

Ours is what the trainer runs: the step of `training/step.py`, mapped over devices, with
the config of `configs/vgg19_block*.py`. The peer is the same pair in torch, with the
same weights, losses and learning rates. Both get their photos as uint8 on the host.
Every program has a process of its own, and they take turns. The limit is the rate of
matrix products, for the FLOPs of the convolutions; "winograd" may exceed it.
"""

import contextlib
import functools

from benchmarks.flops import reconstruction_flops, train_step_flops
from benchmarks.harness import Candidate, Case, Report, platform
from benchmarks.pair import draw_photos, make_config, override
from benchmarks.subprocesses import Subprocess

SUITE = "step"
# Differences due to rounding: losses, gradient and reconstruction as shares of their
# norm. On a GPU convolutions in float32 keep 10 bits of their factors (TF32).
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
_TOLERANCE_TF32 = 3e-2
# Of a reconstruction: where two values of a window are equal up to rounding, programs
# choose different ones, and every such choice shifts a feature by a pixel.
_TOLERANCE_IMAGE = 3e-2
# The learning rate is 0 in step 0. The next two steps show the optimizer.
_CHECKED_STEPS = 3
_CHECKED = ("loss", "l1", "l2", "ms_ssim_loss", "perceptual", "gradient_norm")
# A cache would hide the time of compilation. And torch in a process of its own may wait
# as it does by default; see `harness.py`.
_ALONE = {"JAX_COMPILATION_CACHE_DIR": None, "OMP_WAIT_POLICY": None}
# Number of learning rates for the peer, which repeats the last of them.
_RATES = 200


def tolerance(dtype: str) -> float:
    """Largest difference between programs that is rounding, as a share of the norm."""
    if dtype == "float32" and platform() != "cpu":
        return _TOLERANCE_TF32
    return _TOLERANCE[dtype]


def measure(report: Report) -> None:
    """Check and time training and reconstruction of every block and dtype."""
    report.skip_peers(SUITE, "tensorflow")
    batch, size = report.settings.step_shape
    for block in report.settings.blocks:
        for dtype in report.settings.dtypes:
            config = make_config(block, dtype, size)
            losses = {name: c for name, c in config.loss.items() if c}
            cases = [
                Case(
                    SUITE,
                    f"{kind}: block {block} {batch}×{size}² {dtype}",
                    dtype,
                    flops(block, batch, size, size),
                    "matmul",
                    {
                        "kind": kind,
                        "block": block,
                        "batch_size": batch,
                        "image_size": size,
                        "losses": losses,
                    },
                )
                for kind, flops in (
                    # First, since training changes the decoders.
                    ("reconstruct", reconstruction_flops),
                    ("train", train_step_flops),
                )
            ]
            cases = [case for case in cases if report.wants(case.name)]
            if cases:
                _measure_pair(block, dtype, config, cases, report)


def _measure_pair(block, dtype, config, cases, report: Report) -> None:
    batch, size = report.settings.step_shape
    photos = draw_photos(report.generator, batch, size)
    configs = {"ours": config}
    for setting in report.settings.ours:
        configs[f"ours, {setting}"] = override(config, setting)
    environment = {} if report.settings.small else _ALONE
    with contextlib.ExitStack() as stack:

        def start(program, *arguments):
            return stack.enter_context(
                Subprocess(program, *arguments, environment=environment)
            )

        programs = {
            name: start("benchmarks.pair:OurProgram", config.to_dict(), photos)
            for name, config in configs.items()
        }
        peers = {}
        if "torch" in report.peers:
            from benchmarks.torch_pair import variants

            pair = programs["ours"].ask("pair", _RATES)
            sections = config.loss.to_dict(), config.optimizer.to_dict()
            for name in variants(dtype):
                arguments = (block, dtype, name, pair, *sections, photos)
                peers[name] = start("benchmarks.torch_pair:TorchProgram", *arguments)
        for case in cases:
            report.time(case, check(case, programs, peers, report))


def check(case: Case, programs: dict, peers: dict, report: Report):
    """Candidates whose first steps or reconstructions are those of ours."""
    kind = case.facts["kind"]
    builders = [
        (name, functools.partial(_candidate, kind, program, "torch" * (name in peers)))
        for name, program in {**programs, **peers}.items()
    ]
    largest = tolerance(case.dtype)
    if kind == "reconstruct":
        largest = max(largest, _TOLERANCE_IMAGE)
    return report.check(case, builders, largest)


def _candidate(kind, program, peer) -> Candidate:
    if kind == "reconstruct":
        found, facts = {"image": program.ask("reconstruct")}, {}
    else:
        found = {
            f"{name} of step {number}": step[name]
            for number, step in enumerate(program.ask("first_steps", _CHECKED_STEPS))
            for name in _CHECKED
            if name in step
        }
        facts = program.ask("facts")
    return Candidate(
        functools.partial(program.ask, "seconds", kind),
        result=lambda: found,
        peer=peer or None,
        facts=facts,
        times_itself=True,
    )
