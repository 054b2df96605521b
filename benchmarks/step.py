"""Suite `step`: a training step with the published losses, and a reconstruction.

Ours is what the trainer runs: the step of `training/step.py`, mapped over devices, with
the config of `configs/vgg19_block*.py`. The peer is the same pair in torch, with the
same weights, losses and learning rates. Both get their photos as uint8 on the host.
Every program has a process of its own, and they take turns. The limit is the rate of
matrix products, for the FLOPs of the convolutions; "winograd" may exceed it.
"""

import contextlib
import functools

from benchmarks.checks import require_close
from benchmarks.elsewhere import Elsewhere
from benchmarks.flops import reconstruction_flops, train_step_flops
from benchmarks.our_pair import draw_photos, make_config, override
from benchmarks.peers import Peers
from benchmarks.report import Case, Report, is_unsupported, platform
from benchmarks.settings import Settings
from benchmarks.timing import Candidate

SUITE = "step"
# What rounding may change: losses, gradient and reconstruction as shares of their norm.
# On a GPU convolutions in float32 keep 10 bits of their factors (TF32).
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
_TOLERANCE_TF32 = 3e-2
# Of a reconstruction: where two values of a window are equal up to rounding, programs
# choose different ones, and every such choice shifts a feature by a pixel.
_TOLERANCE_IMAGE = 3e-2
# The learning rate is 0 in step 0. After two more steps the optimizer shows.
_CHECKED_STEPS = 3
_OURS = "benchmarks.our_program:OurProgram"
_TORCH = "benchmarks.torch_program:TorchProgram"
# A cache would hide how long ours compiles. And in a process of its own torch may wait
# as it does by default; see `peers.py`.
_ALONE = {"JAX_COMPILATION_CACHE_DIR": None, "OMP_WAIT_POLICY": None}
# Learning rates that the peer is told; it keeps the last of them.
_RATES = 200
_CHECKED = ("loss", "l1", "l2", "ms_ssim_loss", "perceptual", "gradient_norm")


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Check and time training and reconstruction of every block and dtype."""
    if "tensorflow" in peers:
        report.skip(SUITE, "all", "tensorflow", "the suite has no such peer")
    batch, size = settings.step_shape
    for block in settings.blocks:
        for dtype in settings.dtypes:
            names = {
                kind: f"{kind}: block {block} {batch}×{size}² {dtype}"
                # Before the training changes the decoders.
                for kind in ("reconstruct", "train")
            }
            if any(map(report.wants, names.values())):
                _measure_block(block, dtype, names, peers, report)


def _measure_block(block, dtype, names, peers, report) -> None:
    batch, size = report.settings.step_shape
    config = make_config(block, dtype, size)
    if config is None:
        reason = f"the config has no compute_dtype, and this is {dtype}"
        report.skip(SUITE, names["train"], "ours", reason)
        return
    photos = draw_photos(report.generator, batch, size)
    configs = {"ours": config}
    for setting in report.settings.ours:
        configs[f"ours, {setting}"] = override(config, setting)
    environment = {} if report.settings.small else _ALONE
    with contextlib.ExitStack() as stack:
        ours = {
            name: stack.enter_context(
                Elsewhere(_OURS, config.to_dict(), photos, environment=environment)
            )
            for name, config in configs.items()
        }
        others = {}
        if "torch" in peers:
            others = _start_torch(block, dtype, config, photos, ours["ours"], stack)
        flops = {"train": train_step_flops, "reconstruct": reconstruction_flops}
        checks = {"train": _check_steps, "reconstruct": _check_reconstructions}
        for kind, name in names.items():
            if not report.wants(name):
                continue
            amount = flops[kind](block, batch, size, size)
            facts = {"block": block, "batch_size": batch, "image_size": size}
            facts["losses"] = {k: weight for k, weight in config.loss.items() if weight}
            case = Case(SUITE, name, dtype, amount, "matmul", facts)
            report.time(case, checks[kind](case, ours, others, report))


def _start_torch(block, dtype, config, photos, ours, stack) -> dict[str, Elsewhere]:
    from benchmarks import torch_pair

    pair = ours.ask("pair", _RATES)
    sections = config.loss.to_dict(), config.optimizer.to_dict()
    return {
        name: stack.enter_context(
            Elsewhere(
                _TORCH, block, dtype, name, pair, *sections, photos, environment=_ALONE
            )
        )
        for name in torch_pair.variants(dtype)
    }


def tolerance(dtype: str) -> float:
    """Largest difference between the programs that is rounding."""
    if dtype == "float32" and platform() != "cpu":
        return _TOLERANCE_TF32
    return TOLERANCE[dtype]


def _check_steps(case, ours, others, report) -> dict[str, Candidate]:
    """Candidates whose first steps have the losses and gradients that ours have."""
    wanted = [
        {name: step[name] for name in _CHECKED if name in step}
        for step in ours["ours"].ask("first_steps", _CHECKED_STEPS)
    ]
    candidates = {"ours": _candidate(ours["ours"], "train")}
    for name, program in [*ours.items(), *others.items()]:
        if name == "ours":
            continue
        steps = _ask(program, "first_steps", _CHECKED_STEPS, case, name, report)
        if steps is None:
            continue
        for came, step in zip(steps, wanted, strict=True):
            require_close(case.name, name, came, step, tolerance(case.dtype))
        peer = "torch" if name in others else None
        candidates[name] = _candidate(program, "train", peer)
    return candidates


def _check_reconstructions(case, ours, others, report) -> dict[str, Candidate]:
    """Candidates that give our reconstructions."""
    wanted = ours["ours"].ask("reconstruct")
    largest = max(tolerance(case.dtype), _TOLERANCE_IMAGE)
    candidates = {}
    for name, program in [*ours.items(), *others.items()]:
        image = _ask(program, "reconstruct", None, case, name, report)
        if image is None:
            continue
        require_close(case.name, name, {"image": image}, {"image": wanted}, largest)
        peer = "torch" if name in others else None
        candidates[name] = _candidate(program, "reconstruct", peer)
    return candidates


def _candidate(program, kind, peer=None) -> Candidate:
    facts = {}
    if kind == "train":
        facts["peak_bytes"] = program.ask("peak_bytes")
    if kind == "train" and peer is None:
        # The first step has compiled and computed.
        facts["compile_seconds"] = program.ask("compile_seconds")
    run = functools.partial(program.ask, "seconds", kind)
    return Candidate(run, peer=peer, facts=facts, times_itself=True)


def _ask(program, method, count, case, name, report):
    """The answer of a program, or None where it says that it cannot do this."""
    try:
        return program.ask(method, *([] if count is None else [count]))
    except RuntimeError as error:
        if not is_unsupported(error):
            raise
        report.skip(SUITE, case.name, name, str(error).splitlines()[0])
        return None
