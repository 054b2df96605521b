"""Reader processes: same batches as without, no accelerator, no orphans, no hang."""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from vgg_unpool_jax.data import make_loader, make_source
from vgg_unpool_jax.errors import UserError

_CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
_TRAINING = {
    "batch_size": 4,
    "image_size": 80,
    "crop": "random",
    "seed": 5,
    "shuffle": True,
    "num_epochs": None,
}

# Where tests run in the background of a shell, SIGINT is ignored and children inherit
# that; the script stands for a program in the foreground.
_ENDLESS = """
    import multiprocessing
    import signal
    import sys

    import numpy as np
    from vgg_unpool_jax.data import make_loader, make_source

    if __name__ == "__main__":
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loader = make_loader(
            make_source("folder:" + sys.argv[1]), np.arange(9), batch_size=4,
            image_size=80, crop="random", seed=5, shuffle=True, num_epochs=None,
            num_workers=1,
        )
        next(loader)
        next(loader)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        while True:
            next(loader)
"""


@pytest.fixture
def folder(make_folder):
    """Nine photos, large enough for their crops to travel in shared memory."""
    return make_folder(9, height=90, width=100)


def _start(tmp_path, script, *arguments):
    file = tmp_path / "script.py"
    file.write_text(textwrap.dedent(script))
    # The script must not inherit what tests/conftest.py sets for this process.
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    environment["PYTHONPATH"] = str(_CHECKOUT)
    return subprocess.Popen(
        [sys.executable, str(file), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextlib.contextmanager
def _running(tmp_path, script, *arguments):
    process = _start(tmp_path, script, *arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        # Ends when Python's resource tracker has freed the shared memory and left.
        process.communicate(timeout=120)


def _alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return state[0] != "Z"


def _assert_gone(pids, seconds=20):
    end = time.monotonic() + seconds
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < end, f"reader processes {pids} are still there"
        time.sleep(0.05)


@pytest.mark.extended
def test_workers_deliver_the_same_batches(folder):
    """Resumed in the middle, with workers, one photo broken: nothing changes."""
    source = make_source(f"folder:{folder}")
    (folder / "photo004.png").write_bytes(b"")
    options = _TRAINING | {"max_broken_share": 0.2}
    with make_loader(source, np.arange(9), **options) as loader:
        expected = [next(loader) for _ in range(7)]
    broken = loader.broken
    with make_loader(source, np.arange(9), num_workers=2, **options, start=2) as loader:
        for number in range(2, 7):
            batch = next(loader)
            for key, value in expected[number].items():
                np.testing.assert_array_equal(batch[key], value)
                assert type(batch[key]) is np.ndarray
        assert loader.position == 7
        assert loader.broken == broken
        assert list(broken) == ["photo004.png"]
        begin = time.monotonic()
    assert time.monotonic() - begin < 10


def test_a_killed_worker_is_reported(folder):
    source = make_source(f"folder:{folder}")
    with make_loader(source, np.arange(9), num_workers=1, **_TRAINING) as loader:
        next(loader)
        for child in multiprocessing.active_children():
            if child.name.startswith("grain"):
                child.kill()
        with pytest.raises(UserError, match=r"reader process of folder .*/dev/shm"):
            for _ in range(20):
                next(loader)


def test_workers_leave_when_the_main_process_is_killed(folder, tmp_path):
    with _running(tmp_path, _ENDLESS, folder) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 1
        process.kill()
        _assert_gone(workers)


@pytest.mark.extended
def test_ctrl_c_ends_main_process_and_workers(folder, tmp_path):
    with _running(tmp_path, _ENDLESS, folder) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode != 0
        assert errors.count("Traceback") == 1, errors
        assert errors.strip().endswith("KeyboardInterrupt"), errors
        _assert_gone(workers)


@pytest.mark.extended
def test_workers_leave_the_accelerator_alone(tmp_path):
    script = """
        import jax
        import numpy as np
        from vgg_unpool_jax.data import make_loader

        class Spy:
            '''Its pixels report the state of the process that reads from it.'''

            def __len__(self):
                return 4

            def __getitem__(self, index):
                from jax._src import xla_bridge
                started = bool(xla_bridge._backends)
                photo = np.zeros((8, 8, 3), np.uint8)
                photo[..., 0] = started
                photo[..., 1] = jax.config.jax_platforms == "cpu"
                return photo

            def name(self, index):
                return str(index)

        if __name__ == "__main__":
            jax.numpy.zeros(3).block_until_ready()
            with make_loader(
                Spy(), np.arange(4), batch_size=4, image_size=8, crop="center",
                seed=0, shuffle=False, num_epochs=1, num_workers=1,
            ) as loader:
                started, cpu, _ = next(loader)["image"].max(axis=(0, 1, 2)).tolist()
            print(started, cpu)
    """
    with _running(tmp_path, script) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "0 1\n"), errors
