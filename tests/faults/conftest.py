"""Trainings that are disturbed for real.

`./launch.sh faults` runs all tests of this folder and prints the rows of the table in
docs/reliability.md that passed; the marker `fault` names the row of a test.
"""

import collections
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(name): row of docs/reliability.md")


def pytest_collection_modifyitems(items):
    for item in items:
        marker = item.get_closest_marker("fault")
        if marker:
            item.user_properties.append(("fault", marker.args[0]))


def pytest_terminal_summary(terminalreporter):
    """Print the rows of docs/reliability.md whose tests all passed."""
    outcomes = collections.defaultdict(set)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for name, fault in getattr(
                report, "user_properties", ()
            ):  # not of collection
                if name == "fault":
                    outcomes[fault].add(outcome)
    if outcomes:
        terminalreporter.section("faults")
        lines = (ROOT / "docs" / "reliability.md").read_text().splitlines()
        for line in lines:
            fault = line[1:].split("|")[0].strip()
            if line.startswith("| fault ") or outcomes.get(fault) == {"passed"}:
                terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def make_photos():
    """A function folder, number -> so many smooth photos of 24×20 pixels."""

    def make(folder, number=12):
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for index in range(number):
            coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
            photo = coarse.resize((24, 20), Image.Resampling.BICUBIC)
            photo.save(folder / f"photo{index:02d}.png")
        return folder

    return make


@pytest.fixture(scope="session")
def photos(make_photos, tmp_path_factory) -> pathlib.Path:
    """Twelve photos that nothing happens to."""
    return make_photos(tmp_path_factory.mktemp("photos"))


@dataclasses.dataclass
class Training:
    """The command that trains in a workdir, as often as it is started.

    Attributes:
      workdir: its folder.
      fields: of the config; overrides of the block-1 config for a laptop.
      log: what it wrote to standard error, of all starts.
    """

    workdir: pathlib.Path
    fields: dict
    log: pathlib.Path

    def command(self, **fields) -> list[str]:
        """The command; `fields` come on top."""
        fields = self.fields | fields
        return [
            *(sys.executable, "-m", "experiments.train"),
            f"--config={ROOT}/configs/vgg19_block1.py:runlocal",
            f"--workdir={self.workdir}",
            *(f"--config.{name}={value}" for name, value in fields.items()),
        ]

    def start(self, prefix=(), **fields) -> subprocess.Popen:
        """Start it in a process group of its own."""
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [*prefix, *self.command(**fields)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def run(self, prefix=(), **fields) -> tuple[int, str]:
        """Start it and wait; the status and what this start wrote."""
        before = len(self.told())
        status = self.start(prefix, **fields).wait(timeout=200)
        return status, self.told()[before:]

    def shared_by(self, processes: int, *, grace: int = 60) -> list[str]:
        """The launcher of several processes, as a prefix of the command.

        Args:
          processes: their number.
          grace: seconds that the others have left when one has ended.
        """
        return [
            *(sys.executable, str(ROOT / "scripts/launch/local.py")),
            *(f"--processes={processes}", f"--grace={grace}"),
            *(f"--logs={self.workdir.parent}/logs", "--"),
        ]

    def told(self) -> str:
        """Standard error of all starts."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, process, sentence, *, after=0, seconds=120) -> None:
        """Return when the log says it, from character `after` on."""
        end = time.monotonic() + seconds
        while sentence not in self.told()[after:]:
            assert process.poll() is None, self.told()[after:]
            assert time.monotonic() < end, f"not told: {sentence}"
            time.sleep(0.002)

    def checkpoints(self) -> list[int]:
        """Steps of the whole checkpoints."""
        names = [path.name for path in (self.workdir / "checkpoints").glob("*")]
        return sorted(int(name) for name in names if name.isdigit())

    def last_checkpoint(self) -> int:
        """Step of the newest whole one; 0 without any."""
        return max([0, *self.checkpoints()])

    def unfinished(self) -> list[pathlib.Path]:
        """Checkpoints that are being written or were left so."""
        return list((self.workdir / "checkpoints").glob("*orbax-checkpoint-tmp*"))

    def state(self) -> dict:
        """The newest checkpoint, read by orbax alone."""
        folder = self.workdir / "checkpoints" / str(self.last_checkpoint()) / "state"
        with ocp.StandardCheckpointer() as reader:
            saved = reader.metadata(folder).item_metadata.tree
            return reader.restore(
                folder,
                jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), saved),
            )

    def logged(self, tag: str) -> dict[int, float]:
        """Step -> value in the TensorBoard files; a step must not be there twice."""
        from tensorboard.backend.event_processing import event_accumulator

        accumulator = event_accumulator.EventAccumulator(
            str(self.workdir / "tensorboard"), size_guidance={"scalars": 0}
        )
        events = accumulator.Reload().Scalars(tag)
        values = {event.step: event.value for event in events}
        assert len(values) == len(events)
        return values

    def logged_steps(self) -> list[int]:
        """Steps of the training loss in the TensorBoard files."""
        return list(self.logged("train/loss"))


@pytest.fixture(scope="session")
def make_training(photos):
    """A function folder, fields -> Training of 40 steps with a checkpoint each fifth.

    Fields are nested by two underscores.
    """

    def make(folder, **fields):
        folder.mkdir(parents=True, exist_ok=True)
        defaults = {
            "num_steps": 40,
            "log_every_steps": 1,
            "data.source": f"folder:{photos}",
            "data.image_size": 16,
            "evaluation.image_size": 16,
            "evaluation.every_steps": 20,
            "checkpoints.every_steps": 5,
            "checkpoints.max_to_keep": 3,
            "loss.ms_ssim": 0.0,
            "loss.perceptual": 0.0,
        }
        given = {name.replace("__", "."): value for name, value in fields.items()}
        return Training(folder / "run", defaults | given, folder / "stderr.txt")

    return make


@pytest.fixture(scope="session")
def undisturbed(make_training, tmp_path_factory) -> Training:
    """The default training, finished; do not write into its folder."""
    training = make_training(tmp_path_factory.mktemp("undisturbed"))
    status, told = training.run()
    assert status == 0, told
    return training


@pytest.fixture(scope="session")
def assert_same_state(assert_same_tree):
    """A function that compares the newest checkpoints of two trainings bit for bit."""

    def check(one: Training, other: Training):
        assert_same_tree(one.state(), other.state())

    return check


@pytest.fixture(scope="session")
def assert_same_end(assert_same_state):
    """A function that compares two finished trainings: bits, steps, leftovers."""

    def check(one: Training, other: Training):
        assert_same_state(one, other)
        steps = int(one.fields["num_steps"])
        assert one.logged_steps() == list(range(1, steps + 1))
        assert one.last_checkpoint() == steps and not one.unfinished()

    return check


@pytest.fixture
def kill_all():
    """A function that kills a process with all that it started, and waits for it."""

    def kill(process: subprocess.Popen) -> int:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait(timeout=60)

    return kill
