"""The suites on tiny arrays: candidates agree, rows are complete, errors stop a run."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import data_pipelines, run
from benchmarks.harness import MismatchError, Settings
from tests.experiments.commands import run_module

pytestmark = pytest.mark.extended

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
TORCH = {"torch", "torch, channels last"}


def _run(suite, **options):
    options = {"peers": (), "dtypes": ("float32",), "repetitions": 1} | options
    settings = Settings(suites=(suite,), small=True, **options)
    return run.run_suites(settings, lambda line: None)


def _peers(*names):
    for name in names:
        pytest.importorskip(name, reason=f"{name} is an optional peer")
    return names


def test_the_command_prints_a_table_and_writes_a_record(tmp_path):
    output = tmp_path / "new" / "ops.json"
    done = run_module(
        "benchmarks",
        *("--suite=ops", "--peers=none", "--small", "--repetitions=3", "--markdown"),
        *("--dtypes=float32", "--cases=^(un)?pool: ", f"--output={output}"),
    )
    assert done.returncode == 0, done.stderr
    assert "| pool: 2×16²×64 float32 | ours |" in done.stdout
    assert "copy bandwidth" in done.stdout
    record = json.loads(output.read_text())
    assert {row["operation"] for row in record["rows"]} == {"pool", "unpool"}
    row = record["rows"][0]
    assert row["candidate"] == "ours" and row["shape"] == [2, 16, 16, 64]
    assert row["repetitions"] == 3 and row["switch_bytes"] == 1
    assert row["minimum_seconds"] <= row["median_seconds"] <= row["maximum_seconds"]
    bandwidth = record["limits"]["copy_bandwidth_bytes_per_second"]
    rate = row["amount"] / row["median_seconds"]
    assert row["fraction_of_limit"] == pytest.approx(rate / bandwidth)
    moments = [found["moment"] for found in record["limits"]["measurements"]]
    assert moments == ["before", "after ops"]
    assert record["provenance"]["environment"]["JAX_PLATFORMS"] == "cpu"
    assert {"git", "hardware", "threads", "versions"} <= set(record["provenance"])


def test_a_wrong_flag_is_one_sentence():
    done = run_module("benchmarks", "--suite=speed")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: --suite must be some of ops, convolution, losses, step, data, "
        "reconstruct, checkpoints, stylize, start, all; got 'speed'"
    )


def test_ops_agree_with_the_peers_in_both_dtypes():
    record = _run(
        "ops",
        peers=_peers("torch", "tensorflow"),
        dtypes=("float32", "bfloat16"),
        cases="float32|^pool, unpool",
    )
    bytes_of = {row["candidate"]: row["switch_bytes"] for row in record["rows"]}
    ours = {"ours", "ours, packed", "ours, scatter", "ours, xla"}
    ours |= {"ours, ReLU apart"}
    assert set(bytes_of) == ours | TORCH | {"tensorflow"}
    assert bytes_of["ours, packed"] == 0.25 and bytes_of["torch"] == 8
    assert len({row["operation"] for row in record["rows"]}) == 7
    assert {row["dtype"] for row in record["rows"]} == {"float32", "bfloat16"}
    assert not record["skipped"] and not record["missing_peers"]
    for row in record["rows"]:
        assert set(row["ratios"]) == (TORCH | {"tensorflow"}) - {row["candidate"]}


def test_a_peer_that_unpools_wrongly_stops_the_run_before_its_time_is_taken(
    monkeypatch,
):
    torch = pytest.importorskip("torch", reason="torch is an optional peer")
    functional = torch.nn.functional
    real = functional.max_unpool2d
    monkeypatch.setattr(
        functional, "max_unpool2d", lambda v, i, size: real(v, i, size) * 1.001
    )
    timed = []
    monkeypatch.setattr(run.Report, "time", lambda *_: timed.append(1))
    with pytest.raises(MismatchError, match="image of torch differs"):
        _run("ops", peers=("torch",), cases="^unpool: ")
    assert not timed
    record = _run("ops", peers=("torch",), cases="^unpool: ", seconds=60.0)
    assert timed  # in a time box the others are measured
    reasons = [entry["reason"] for entry in record["skipped"]]
    assert any("image of torch differs" in reason for reason in reasons)


def test_losses_agree_with_the_peers():
    # The value comes with the gradient; alone it is the same program with less.
    cases = "gradient|^l1"
    record = _run("losses", peers=_peers("torch", "tensorflow"), cases=cases)
    found = {(row["loss"], row["kind"]) for row in record["rows"]}
    assert len(found) == 4
    assert {row["peer"] for row in record["rows"]} == {None, "torch", "tensorflow"}
    assert record["rows"][0]["amount"] == 2 * 176 * 176 * 3 * 4


def test_convolutions_agree_with_torch_in_both_directions():
    record = _run("convolution", peers=_peers("torch"), cases=": (64→3|64→64) ")
    rows = record["rows"]
    assert len({row["case"] for row in rows}) == 2 * 3
    names = {row["candidate"] for row in rows}
    assert names >= {"ours", "ours, xla", "ours, winograd", "ours, columns"} | TORCH
    wide = next(row for row in rows if "64→64" in row["case"])
    assert wide["amount"] == 2 * 9 * 64 * 64 * 32 * 32


def test_a_training_step_agrees_with_torch():
    record = _run("step", peers=_peers("torch"), blocks=(1,))
    kinds = [(row["case"].split(":")[0], row["candidate"]) for row in record["rows"]]
    assert kinds == [
        (kind, name)
        for kind in ("reconstruct", "train")
        for name in ("ours", "torch", "torch, channels last")
    ]
    trained = [row for row in record["rows"] if row["case"].startswith("train")]
    assert trained[0]["limit"] == "matmul" and trained[0]["compile_seconds"] > 0
    assert all(row["peak_bytes"] > 1 << 20 for row in trained)
    assert set(trained[0]["ratios"]) == TORCH


def test_a_save_blocks_for_a_part_of_its_time_and_is_measured_on_disk():
    rows = {row["candidate"]: row for row in _run("checkpoints", repetitions=5)["rows"]}
    assert set(rows) == {"copy to the host", "save blocks", "save, written", "restore"}
    written = rows["save, written"]
    # Parameters, their average and two moments of Adam; and the step.
    assert written["state_bytes"] >= 4 * 4 * 38_000
    assert written["disk_bytes"] > 0.5 * written["state_bytes"]
    assert rows["save blocks"]["median_seconds"] < written["median_seconds"]


@pytest.fixture
def threads_only(monkeypatch):
    # Reader processes take seconds to start; threads run the same code.
    real = data_pipelines._our_batches

    def batches(*arguments, workers, **options):
        return real(*arguments, workers=0, **options)

    monkeypatch.setattr(data_pipelines, "_our_batches", batches)


def test_data_pipelines_give_the_same_photos(threads_only):
    record = _run("data", peers=_peers("tensorflow"))
    assert len(record["rows"]) == 2 * 4
    for row in record["rows"]:
        assert row["images_per_second"] == pytest.approx(1 / row["median_seconds"])
        assert row["images_per_second_and_core"] <= row["images_per_second"]
        assert row["photos"] == 13


def test_reconstruct_measures_time_and_memory():
    (row,) = _run("reconstruct")["rows"]
    assert row["peak_bytes"] >= row["baseline_bytes"] > 1 << 20
    assert row["median_seconds"] > 0 and row["size"] == [40, 72]


def test_the_stylize_suite_times_the_loops_and_every_stage():
    installed = importlib.util.find_spec("torch") is not None
    rows = _run("stylize", peers=["torch"] if installed else [])["rows"]
    cases = [row["case"] for row in rows if row["candidate"] == "ours"]
    assert len(cases) == 7 and any("4 regions" in case for case in cases)
    assert all(row["median_seconds"] > 0 for row in rows)
    assert sum(row["peer"] == "torch" for row in rows) == 2 * installed


def test_a_time_box_leaves_cases_out_and_keeps_what_was_measured():
    kept = []
    settings = Settings(
        suites=["losses"], peers=[], small=True, repetitions=1, seconds=1e-9
    )
    record = run.run_suites(settings, lambda line: None, kept.append)
    assert not record["rows"]
    assert "seconds are over" in record["skipped"][0]["reason"]
    unlimited = Settings(suites=["losses"], peers=[], small=True, repetitions=1)
    record = run.run_suites(unlimited, lambda line: None, kept.append)
    assert kept[-1]["rows"] == record["rows"]


def test_help_does_without_jax():
    rows = _run("start", cases="help")["rows"]
    assert {row["case"].split(" --")[0] for row in rows} == {"reconstruct", "stylize"}
    for row in rows:
        assert row["import_seconds"] > 0 and row["trace_seconds"] == 0
    for name in ("reconstruct", "stylize", "train"):
        code = f"import sys, experiments.{name}; sys.exit('jax' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT)
