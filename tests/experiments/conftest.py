"""Stand-ins for what launch.sh calls."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


# Of the machine, the launchers may use these alone: a tool that is not stood in for is
# missing, whatever is installed here.
_SYSTEM_TOOLS = (
    *("bash", "sh", "env", "cat", "cksum", "cp", "cut", "date", "dirname", "grep"),
    *("hostname", "kill", "mkdir", "mktemp", "mv", "nohup", "printf", "rm", "rmdir"),
    *("sed", "setsid", "sleep", "sort", "tail", "tar", "gzip", "touch", "tr", "wc"),
    "timeout",
)

# Writes its arguments, each ended by a zero byte, and what came on stdin if wanted.
_RECORDER = """#!/bin/bash
calls="{folder}/calls/{name}"
mkdir -p "$calls"
number=$(mktemp "$calls/XXXXXX")
printf '%s\\0' "$@" >"$number"
echo "$number" >>"{folder}/calls/{name}.order"
{body}
"""


@dataclasses.dataclass
class Bench:
    """A PATH of our own, stand-ins on it, and what they were asked."""

    folder: pathlib.Path

    @property
    def path(self) -> pathlib.Path:
        return self.folder / "bin"

    def stand_in(self, name: str, body: str = "", *, where: pathlib.Path | None = None):
        """Make a program of that name which records its calls and then does `body`."""
        program = (where or self.path) / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(_RECORDER.format(folder=self.folder, name=name, body=body))
        program.chmod(0o755)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of every call, in order."""
        order = self.folder / "calls" / f"{name}.order"
        if not order.exists():
            return []
        return [
            pathlib.Path(line).read_text().split("\0")[:-1]
            for line in order.read_text().splitlines()
        ]

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": str(self.path),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "VENV": str(self.folder / "venv"),
            **more,
        }

    def launch(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [CHECKOUT / "launch.sh", *arguments],
            env=self.environment(**more),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *arguments: str, **more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [CHECKOUT / "launch.sh", *arguments],
            env=self.environment(**more),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def bench(tmp_path):
    """Stand-ins in a folder with a space and a quote in its name."""
    folder = tmp_path / "it's here"
    bench = Bench(folder)
    bench.path.mkdir(parents=True)
    for tool in _SYSTEM_TOOLS:
        found = shutil.which(tool)
        if found:
            os.symlink(found, bench.path / tool)
    return bench
