"""Run one command as several processes of one run on this machine.

    python scripts/launch/local.py --processes=N [OPTIONS] -- COMMAND ...

`./launch.sh local` calls this. Process 0 writes to the terminal, the others into
FOLDER/process-K.log. Each finds in its environment who it is and where process 0
listens; see vgg_unpool_jax/runtime/processes.py. When one fails, the others are asked
to end, and after --grace seconds they are ended.

Status: 0 when all processes end with 0, 75 when a training saved and has to be
started again, else that of the process that failed first. Needs no package.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

_POLL_SECONDS = 0.1
_TAIL_LINES = 20
# Of a training that saved its state after SIGTERM: not a failure, and not the end.
_START_AGAIN = 75
_MOST_PROCESSES = 256


def main(arguments: list[str]) -> int:
    """Run the launcher; the status to exit with."""
    options = _parse(arguments)
    logs = [options.logs / f"process-{k}.log" for k in range(options.processes)]
    if options.dry_run:
        for number in range(options.processes):
            print(_described(number, options, logs[number]))
        return 0
    if os.environ.get("ACCELERATOR") == "cuda":
        _check_gpus(options.processes)
    try:
        options.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"the folder {options.logs} for logs cannot be made: {error}")
    return _Processes(options, logs).run()


class _Processes:
    """The processes, watched from their start to the end of the last."""

    def __init__(self, options, logs):
        self._options, self._logs = options, logs
        self._running: dict[int, subprocess.Popen] = {}
        self._statuses: dict[int, int] = {}
        self._failed_first: list[int] = []  # before any was asked to end
        self._asked: list[int] = []  # signals that this program was sent
        self._kill_at: float | None = None

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._asked.append(number))
        try:
            self._start()
            while self._running:
                self._pass_on()
                self._collect()
                self._enforce()
                time.sleep(_POLL_SECONDS)
        finally:
            for process in self._running.values():
                _signal_group(process, signal.SIGKILL)
        return self._report()

    def _start(self) -> None:
        address = f"127.0.0.1:{self._options.port or _free_port()}"
        for number, log in enumerate(self._logs):
            environment = os.environ | _variables(number, self._options, address)
            output = None if number == 0 else log.open("ab")
            try:
                self._running[number] = subprocess.Popen(
                    self._options.command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=None if output is None else subprocess.STDOUT,
                    # A process group of its own: the terminal's Ctrl-C comes once, by
                    # this program, and loader workers can be ended with their process.
                    process_group=0,
                )
            except OSError as error:
                _tell(f"error: process {number} could not be started: {error}")
                self._statuses[number] = 127
                self._failed_first.append(number)
                self._end_others(f"process {number} could not be started")
                return
            finally:
                if output is not None:
                    output.close()

    def _pass_on(self) -> None:
        while self._asked:
            number = self._asked.pop(0)
            # To the process alone: its workers are its own to end.
            for process in self._running.values():
                process.send_signal(number)
            if self._kill_at is None:
                self._end_later()
                name = signal.Signals(number).name
                _tell(
                    f"{name} passed on to all processes; those that have not ended in "
                    f"{self._options.grace:g} s are killed"
                )

    def _collect(self) -> None:
        undisturbed = self._kill_at is None
        for number, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[number]
            # Loader workers of a process that was killed.
            _signal_group(process, signal.SIGKILL)
            self._statuses[number] = 128 - status if status < 0 else status
            if status and undisturbed:
                self._failed_first.append(number)
        if undisturbed and self._failed_first:
            # Of two that ended since the last look, one killed and one failed, the
            # second missed the first.
            self._failed_first.sort(key=lambda number: self._statuses[number] <= 128)
            first = self._failed_first[0]
            if self._statuses[first] == _START_AGAIN:
                # All agreed to save and are about to end; a signal could hurt that.
                self._end_later()
            else:
                self._end_others(f"process {first} ended {self._worded(first)}")

    def _end_others(self, reason: str) -> None:
        self._end_later()
        if self._running:
            others = ", ".join(map(str, self._running))
            _tell(
                f"{reason}: ending the others ({others}), by force after "
                f"{self._options.grace:g} s"
            )
        for process in self._running.values():
            process.terminate()

    def _end_later(self) -> None:
        self._kill_at = time.monotonic() + self._options.grace

    def _enforce(self) -> None:
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            for process in self._running.values():
                _signal_group(process, signal.SIGKILL)

    def _worded(self, number: int) -> str:
        status = self._statuses[number]
        if status > 128:
            return f"by signal {status - 128}"
        return f"with status {status}"

    def _report(self) -> int:
        failed = {k: s for k, s in self._statuses.items() if s not in (0, _START_AGAIN)}
        if not failed:
            status = max(self._statuses.values())
            if status == _START_AGAIN:
                _tell("saved; the same command resumes there")
            return status
        for number in sorted(self._statuses):
            where = f", log {self._logs[number]}" if number else ""
            _tell(f"process {number} ended {self._worded(number)}{where}")
        # What one says may only follow from the death of another that ended a moment
        # later; those that were ended by force have nothing to say.
        forced = {128 + signal.SIGTERM, 128 + signal.SIGKILL}
        told = [
            k for k, s in failed.items() if k in self._failed_first or s not in forced
        ]
        for number in told:
            if number and self._logs[number].exists():
                lines = self._logs[number].read_text(errors="replace").splitlines()
                for line in lines[-_TAIL_LINES:]:
                    _tell(f"[{number}] {line}")
        first = [k for k in self._failed_first if k in failed] or list(failed)
        return failed[first[0]]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="launch.sh local",
        usage="./launch.sh local --processes=N [--logs=FOLDER] [--grace=SECONDS] "
        "[--port=PORT] [--dry_run] COMMAND ...",
        allow_abbrev=False,
    )
    parser.add_argument("--processes", type=_number(1, _MOST_PROCESSES), required=True)
    parser.add_argument("--logs", type=_path, default=pathlib.Path("logs"))
    parser.add_argument("--grace", type=_number(1, 86400), default=60)
    parser.add_argument("--port", type=_number(1, 65535))
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _path(text: str) -> pathlib.Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got an empty text")
    return pathlib.Path(text).expanduser()


def _number(least: int, most: int):
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least} to {most}, got {text!r}"
            )
        return int(text)

    return number


def _variables(number: int, options, address: str) -> dict[str, str]:
    return {
        "VGG_UNPOOL_COORDINATOR": address,
        "VGG_UNPOOL_PROCESSES": str(options.processes),
        "VGG_UNPOOL_PROCESS": str(number),
    }


def _described(number: int, options, log: pathlib.Path) -> str:
    """The process as a line for a shell; a free port is chosen at the start only."""
    address = f"127.0.0.1:{options.port or 12345}"
    variables = [f"{k}={v}" for k, v in _variables(number, options, address).items()]
    line = f"{' '.join(variables)} {shlex.join(options.command)}"
    return f"{line} &" if number == 0 else f"{line} >>{shlex.quote(str(log))} 2>&1 &"


def _check_gpus(processes: int) -> None:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([name for name in visible.split(",") if name])
        where = f"CUDA_VISIBLE_DEVICES={visible}"
    else:
        if shutil.which("nvidia-smi") is None:
            _fail("ACCELERATOR is cuda and there is no nvidia-smi to count GPUs with")
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, check=False
        )
        if listed.returncode:
            _fail(f"nvidia-smi -L failed: {(listed.stderr or listed.stdout).strip()}")
        count = len([x for x in listed.stdout.splitlines() if x.startswith("GPU ")])
        where = "nvidia-smi -L"
    if processes > count:
        _fail(f"{processes} processes want a GPU each, there are {count} ({where})")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _signal_group(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of it has ended


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _fail(sentence: str) -> None:
    _tell(f"error: {sentence}")
    sys.exit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
