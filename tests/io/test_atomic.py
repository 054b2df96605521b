"""Files that are complete or absent."""

import os
import pathlib
import subprocess
import sys

import pytest

from vgg_unpool_jax.io import atomic


def test_a_file_keeps_its_old_content_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with open(path, "rb") as reader:
        with atomic.replacing(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
            assert len(os.listdir(tmp_path)) == 2
        # A rename leaves the old file to who has it open; writing over it would not.
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_failure_while_writing_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="disk"), atomic.replacing(path) as file:
        file.write(b"half")
        raise RuntimeError("disk")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_killed_writer_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    code = (
        "import os, sys\n"
        "from vgg_unpool_jax.io.atomic import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    checkout = pathlib.Path(atomic.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, path], cwd=checkout, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
