"""Compiled programs outlive their process."""

import os
import subprocess
import sys

PROGRAM = """
import sys
import jax
from vgg_unpool_jax.runtime import compilation_cache
compilation_cache._MIN_SECONDS = 0.0
compilation_cache.keep_compiled(sys.argv[1])
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
jax.jit(lambda x: x * 3 + 1)(2.0)
print(events.count("/jax/compilation_cache/cache_hits"))
print(events.count("/jax/compilation_cache/cache_misses"))
"""


def _start(folder, **variables):
    environment = {"JAX_PLATFORMS": "cpu", **os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [int(count) for count in done.stdout.split()]


def test_the_second_start_compiles_nothing(tmp_path):
    # What the tests themselves share, and how they do it, is taken out of the way.
    plain = {
        "JAX_COMPILATION_CACHE_DIR": "",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "",
    }
    hits, misses = _start(tmp_path / "kept", **plain)
    assert hits == 0 and misses > 0
    assert _start(tmp_path / "kept", **plain) == [misses, 0]


def test_a_folder_of_the_environment_wins(tmp_path):
    _start(
        tmp_path / "kept",
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert not (tmp_path / "kept").exists()
    assert any((tmp_path / "mine").iterdir())


def test_a_folder_that_cannot_be_made_costs_only_the_keeping(tmp_path):
    (tmp_path / "kept").write_text("a file")
    plain = {"JAX_COMPILATION_CACHE_DIR": ""}
    assert _start(tmp_path / "kept", **plain) == [0, 0]
