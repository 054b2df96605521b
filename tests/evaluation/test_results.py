"""Result files, provenance and tables."""

import importlib
import json
import math
import os
import pathlib
import shutil
import subprocess

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from vgg_unpool_jax.evaluation.metrics import METRICS
from vgg_unpool_jax.evaluation.provenance import provenance
from vgg_unpool_jax.evaluation.results import format_table, write_results
from vgg_unpool_jax.evaluation.statistics import Summary
from vgg_unpool_jax.io import json_file


def test_a_result_file_reads_back(tmp_path):
    path = tmp_path / "new" / "folder" / "results.json"
    results = {
        "metrics": {"l1": Summary(2.5, (2.0, 3.0), 40), "l2": Summary(9.0, None, 1)},
        "config": ml_collections.ConfigDict({"seed": 0, "losses": {"l1": 10.0}}),
        "path": pathlib.PurePosixPath("a/b"),
        "array": np.arange(3, dtype=np.int32),
        "scalar": jnp.float32(0.5),
        "flag": np.bool_(True),
        "nothing": None,
        "word": "Größe",
        "pair": (1, 2),
    }
    write_results(path, results)
    assert json_file.read(path) == {
        "metrics": {
            "l1": {"mean": 2.5, "interval": [2.0, 3.0], "photos": 40},
            "l2": {"mean": 9.0, "interval": None, "photos": 1},
        },
        "config": {"seed": 0, "losses": {"l1": 10.0}},
        "path": "a/b",
        "array": [0, 1, 2],
        "scalar": 0.5,
        "flag": True,
        "nothing": None,
        "word": "Größe",
        "pair": [1, 2],
    }


def test_keys_are_sorted_at_every_depth(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, {"b": {"z": 1, "a": 2}, "a": [{"y": 1, "x": 2}]})
    pairs = []
    json.loads(path.read_text(), object_pairs_hook=lambda p: pairs.append(p) or dict(p))
    assert all(keys == sorted(keys) for keys in ([k for k, _ in p] for p in pairs))
    assert len(pairs) == 3


def test_infinity_and_nan_become_strings_that_float_reads(tmp_path):
    path = tmp_path / "results.json"
    values = {
        "a": math.inf,
        "b": -math.inf,
        "c": math.nan,
        "d": np.array([np.inf, 1.0]),
        "e": np.float32("inf"),
    }
    write_results(path, values)
    read = json_file.read(path)
    assert read == {"a": "inf", "b": "-inf", "c": "nan", "d": ["inf", 1.0], "e": "inf"}
    assert float(read["a"]) == math.inf
    assert math.isnan(float(read["c"]))


def test_provenance_names_code_versions_and_hardware(tmp_path):
    config = ml_collections.ConfigDict({"seed": 3})
    record = provenance(config, workdir=tmp_path)
    assert record["versions"]["jax"] == jax.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert record["hardware"]["platform"] == "cpu"
    assert record["hardware"]["device_count"] == len(jax.devices())
    assert 1 <= record["hardware"]["cpu_cores"] <= os.cpu_count()
    assert record["hardware"]["cpu_model"]
    assert record["workdir"] == str(tmp_path)
    assert record["date"].endswith("+00:00")
    write_results(tmp_path / "results.json", record)
    read = json_file.read(tmp_path / "results.json")
    assert read["config"] == {"seed": 3}
    assert provenance({})["workdir"] is None


def run_git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True
    )


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository with a package folder in it, taken for the real one."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "package"
    package.mkdir()
    (package / "version.py").write_text("1")
    run_git(tmp_path, "init")
    module = importlib.import_module("vgg_unpool_jax.evaluation.provenance")
    monkeypatch.setattr(module, "_PACKAGE", package)
    return tmp_path


def test_the_commit_and_whether_files_differ_from_it(checkout):
    run_git(checkout, "add", ".")
    run_git(checkout, "commit", "-m", "one")
    clean = provenance({})["git"]
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (checkout / "scratch.txt").write_text("untracked files do not count")
    assert provenance({})["git"] == clean
    (checkout / "package" / "version.py").write_text("2")
    assert provenance({})["git"] == {
        "commit": clean["commit"],
        "dirty": True,
    }


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance({})["git"] is None


def test_the_table_is_aligned_and_ordered():
    table = format_table(
        {
            "bits": Summary(0.25, (0.2, 0.3), 40),
            "ms_ssim": Summary(0.98765, (0.98, 0.99), 40),
            "psnr": Summary(math.inf, None, 40),
            "l1": Summary(2.5, None, 1),
        },
        METRICS,
    )
    assert table.splitlines() == [
        "metric   unit           mean     95 % interval  photos",
        "-------  -----------  ------  ----------------  ------",
        "L1       grey levels   2.500    too few photos       1",
        "PSNR     dB              inf                 -      40",
        "MS-SSIM  -            0.9877  0.9800 .. 0.9900      40",
        "bits     -            0.2500  0.2000 .. 0.3000      40",
    ]
