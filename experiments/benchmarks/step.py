"""Suite `step`: a training step with the published losses, and a reconstruction.

Ours is what the trainer runs: the step of `training/step.py`, mapped over devices, with
the config of `configs/vgg19_block*.py`. The peer is the same pair in torch, with the
same weights, losses and learning rates. Both get their photos as uint8 on the host. The
limit is the rate of matrix products, for the FLOPs of the convolutions.
"""

import functools

import jax
import numpy as np

from experiments.benchmarks.checks import require_close
from experiments.benchmarks.flops import reconstruction_flops, train_step_flops
from experiments.benchmarks.our_pair import (
    OurTraining,
    draw_photos,
    make_config,
    override,
)
from experiments.benchmarks.peers import Peers, torch_wait
from experiments.benchmarks.report import Case, Report, is_unsupported, platform
from experiments.benchmarks.settings import Settings
from experiments.benchmarks.timing import Candidate
from vgg_unpool_jax.training import parallel

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
_CHECKED = ("loss", "l1", "l2", "ms_ssim_loss", "perceptual", "gradient_norm")


def measure(settings: Settings, peers: Peers, report: Report) -> None:
    """Check and time training and reconstruction of every block and dtype."""
    if "tensorflow" in peers:
        report.skip(SUITE, "all", "tensorflow", "the suite has no such peer")
    batch, size = settings.step_shape
    parallel.check_batch_size("--batch_size", batch)
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
    ours = {"ours": OurTraining(config, photos)}
    for setting in report.settings.ours:
        ours[f"ours, {setting}"] = OurTraining(override(config, setting), photos)
    others = {}
    if "torch" in peers:
        others = _torch_trainings(block, dtype, config, ours["ours"])
    flops = {"train": train_step_flops, "reconstruct": reconstruction_flops}
    checks = {"train": _check_steps, "reconstruct": _check_reconstructions}
    for kind, name in names.items():
        if not report.wants(name):
            continue
        amount = flops[kind](block, batch, size, size)
        facts = {"block": block, "batch_size": batch, "image_size": size}
        facts["losses"] = {k: weight for k, weight in config.loss.items() if weight}
        case = Case(SUITE, name, dtype, amount, "matmul", facts)
        report.time(case, checks[kind](case, ours, others, photos, report))


def _torch_trainings(block, dtype, config, ours) -> dict:
    from experiments.benchmarks import torch_pair

    return {
        name: torch_pair.Training(
            block,
            jax.device_get(ours.objective.frozen["encoder"]),
            ours.params,
            config.loss.to_dict(),
            lambda step: float(ours.learning_rate(step)),
            config.optimizer.to_dict(),
            variant,
        )
        for name, variant in torch_pair.variants(dtype).items()
    }


def tolerance(dtype: str) -> float:
    """Largest difference between the programs that is rounding."""
    if dtype == "float32" and platform() != "cpu":
        return _TOLERANCE_TF32
    return TOLERANCE[dtype]


def _our_first_steps(training) -> list[dict[str, float]]:
    found = []
    for _ in range(_CHECKED_STEPS):
        metrics = {name: float(value) for name, value in training.step().items()}
        found.append({name: metrics[name] for name in _CHECKED if name in metrics})
    return found


def _check_steps(case, ours, others, photos, report) -> dict[str, Candidate]:
    """Candidates whose first steps have the losses and gradients that ours have."""
    wanted, candidates = None, {}
    for name, training in ours.items():
        steps = _our_first_steps(training)
        wanted = wanted or steps
        for came, step in zip(steps, wanted, strict=True):
            require_close(case.name, name, came, step, tolerance(case.dtype))
        # The first step has compiled and computed.
        facts = {"compile_seconds": training.compile_seconds}
        candidates[name] = Candidate(training.step, facts=facts)

    def first_steps(training):
        for step in wanted:
            came = {name: float(value) for name, value in training.step(photos).items()}
            came["ms_ssim_loss"] = came.pop("ms_ssim", None)
            came["gradient_norm"] = training.gradient_norm()
            yield came, step

    for name, training in others.items():
        try:
            for came, step in first_steps(training):
                require_close(case.name, name, came, step, tolerance(case.dtype))
        except RuntimeError as error:
            _skip_or_raise(case, name, error, report)
            continue
        run = functools.partial(training.step, photos)
        candidates[name] = Candidate(run, torch_wait, peer="torch")
    return candidates


def _check_reconstructions(case, ours, others, photos, report) -> dict[str, Candidate]:
    """Candidates that give our reconstructions."""
    wanted = np.asarray(ours["ours"].reconstruct())
    largest = max(tolerance(case.dtype), _TOLERANCE_IMAGE)
    candidates = {}
    for name, training in ours.items():
        came = {"image": np.asarray(training.reconstruct())}
        require_close(case.name, name, came, {"image": wanted}, largest)
        candidates[name] = Candidate(training.reconstruct)
    for name, training in others.items():
        try:
            came = training.reconstruct(photos).cpu().permute(0, 2, 3, 1).numpy()
        except RuntimeError as error:
            _skip_or_raise(case, name, error, report)
            continue
        require_close(
            case.name,
            name,
            {"image": came},
            {"image": wanted},
            largest,
        )
        run = functools.partial(training.reconstruct, photos)
        candidates[name] = Candidate(run, torch_wait, peer="torch")
    return candidates


def _skip_or_raise(case, name, error, report) -> None:
    if not is_unsupported(error):
        raise error
    report.skip(SUITE, case.name, name, str(error).splitlines()[0])
