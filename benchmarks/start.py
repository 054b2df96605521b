"""Suite `start`: a command from the shell to its file, the first time and again.

Every call is a process of its own. "first" has an empty cache folder: it compiles all
programs, and the C++ of `ops/pooling.cc`; "again" finds what the first call has kept.
The files of a folder make up the rest: weights, pictures, computation.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from PIL import Image

from benchmarks.harness import Candidate, Case, Report
from benchmarks.timing import Timing
from vgg_unpool_jax.pretrained.load import weight_files

SUITE = "start"
_WIDTH, _HEIGHT = 700, 464
_MOST_CALLS = 3  # a first call takes half a minute


def measure(report: Report) -> None:
    """Time `--help`, `reconstruct` and `stylize`."""
    report.skip_peers(SUITE, "torch", "tensorflow")
    settings = report.settings
    weights = next((path for path in weight_files() if path.is_file()), None)
    calls = 1 if settings.small else min(settings.repetitions, _MOST_CALLS)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photos = [folder / "content.png", folder / "style.png"]
        for path in photos:
            pixels = report.generator.integers(0, 256, (58, 88, 3), "uint8")
            size = (_WIDTH, _HEIGHT) if not settings.small else (48, 32)
            Image.fromarray(pixels).resize(size, Image.BICUBIC).save(path)
        photo, style = map(str, photos)
        rest = [f"--output={folder / 'output'}", f"--weights={weights}"]
        stylize = [f"--content={photo}", f"--style={style}", *rest]
        reconstruct = ["--workdir=vgg19-block3", f"--input={photo}", *rest]
        size = f"{_WIDTH}×{_HEIGHT}"
        commands = {
            "reconstruct --help": ("reconstruct", ["--help"]),
            "stylize --help": ("stylize", ["--help"]),
            f"reconstruct: block 3 {size}": ("reconstruct", reconstruct),
            f"stylize: {size}": ("stylize", stylize),
        }
        for name, command in commands.items():
            is_help = "--help" in command[1]
            if not report.wants(name):
                continue
            if weights is None and not is_help:
                report.skip(SUITE, name, "ours", "there are no VGG19 weights here")
                continue
            report.notify(f"{SUITE}: {name}")
            turns = {"again": [_call(*command, folder / "kept") for _ in range(calls)]}
            if not is_help:
                first = [_call(*command, folder / f"first{k}") for k in range(calls)]
                # What found nothing to load is no call "again".
                turns = {"first": first, "again": turns["again"][1:] or first}
            for turn, found in turns.items():
                samples = tuple(call.pop("seconds") for call in found)
                middle = sorted(range(len(samples)), key=samples.__getitem__)
                facts = found[middle[len(middle) // 2]]
                case = Case(SUITE, f"{name}, {turn}")
                candidates = {"ours": Candidate(lambda: None, facts=facts)}
                report.add_rows(case, candidates, {"ours": Timing(samples, 1)})


def _call(command: str, arguments: list[str], cache: pathlib.Path) -> dict:
    """One call in a process of its own: seconds, and of these in each phase."""
    environment = os.environ | {"VGG_UNPOOL_CACHE": str(cache), "GLIBC_TUNABLES": ""}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.phases", command, *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    phases = json.loads(done.stderr.strip().splitlines()[-1])
    if "--help" not in arguments and done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr}")
    return {"seconds": seconds, "core_seconds": cores, **phases}
