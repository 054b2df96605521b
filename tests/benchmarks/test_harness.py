"""What the benchmarks compute: turns, ratios, limits, FLOPs, tables."""

import numpy as np
import pytest

from benchmarks import flops, machine, pooling_work
from benchmarks.harness import (
    Candidate,
    Case,
    MismatchError,
    Peers,
    Report,
    Settings,
    names_of_models,
    require_close,
)
from benchmarks.tables import suite_table
from benchmarks.timing import Timing, compare
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to


class _Clock:
    """Seconds that pass only during work."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def worker(self, name, seconds):
        def run():
            self.calls.append(name)
            self.now += seconds

        return Candidate(run, wait=lambda _: self.calls.append(f"wait {name}"))


def test_candidates_take_turns_and_every_call_is_waited_for():
    clock = _Clock()
    found = compare(
        {name: clock.worker(name, 1.0) for name in "ABC"},
        4,
        block_each_call=True,
        clock=clock,
    )
    # Two calls each to warm up, then in turn.
    expected = list("AABBCC") + 4 * list("ABC")
    assert clock.calls[::2] == expected
    assert clock.calls[1::2] == [f"wait {name}" for name in expected]
    assert all(timing.median == 1.0 for timing in found.values())
    assert Timing((1.0, 2.0, 3.0, 4.0, 5.0), 1).spread == pytest.approx(2 / 3)
    assert all(len(timing.samples) == 4 for timing in found.values())


def test_short_calls_are_repeated_and_a_queue_is_waited_for_once_a_turn():
    clock = _Clock()
    candidates = {"A": clock.worker("A", 0.25), "B": clock.worker("B", 2.0)}
    found = compare(
        candidates, 1, least_seconds=1.0, block_each_call=False, clock=clock
    )
    assert clock.calls[-7:] == ["A", "A", "A", "A", "wait A", "B", "wait B"]
    assert (found["A"].median, found["A"].calls) == (0.25, 4)
    assert (found["B"].median, found["B"].calls) == (2.0, 1)


def _report(**options):
    return Report(Settings(small=True, **options), Peers([]), lambda line: None)


@pytest.mark.parametrize(("seconds", "side"), [(0.01, 2048), (0.03, 256)])
def test_a_product_that_would_take_too_long_is_small(seconds, side):
    """Of 2048² matrices it takes 512 times as long as of 256²."""

    def make(side, dtype):
        assert (side, dtype) == (256, "bfloat16")
        return Candidate(lambda: seconds, times_itself=True)

    assert machine._side_of(make, 2048, "bfloat16") == side


def test_ratios_and_fraction_of_the_limit():
    candidates = {
        "ours": Candidate(lambda: None),
        "torch": Candidate(lambda: None, peer="torch", amount=500.0),
    }
    timings = {"ours": Timing((2.0,) * 3, 1), "torch": Timing((5.0,) * 3, 1)}
    report = _report()
    case = Case("ops", "pool", "float32", 100.0, "copy")
    report.add_rows(case, candidates, timings)
    measurements = [
        {"copy": {"jax": 100.0, "numpy": 200.0}, "matmul": {"float32": {"jax": 5.0}}},
        {"copy": {"jax": 150.0, "numpy": 50.0}, "matmul": {"float32": {"jax": 4.0}}},
    ]
    limits = machine.best_of(measurements)
    assert limits["copy_bandwidth_bytes_per_second"] == 200.0
    assert limits["matmul_flops_per_second"] == {"float32": 5.0}
    machine.add_shares(report.rows, limits)
    ours, torch = report.rows
    # torch takes 2.5 times as long, and is not compared with itself.
    assert ours["ratios"] == {"torch": 2.5} and torch["ratios"] == {}
    assert ours["fraction_of_limit"] == 100.0 / 2.0 / 200.0
    assert torch["fraction_of_limit"] == 500.0 / 5.0 / 200.0
    table = suite_table(report.rows, markdown=True).splitlines()
    assert table[0] == (
        "| case | candidate | median ms | spread | × torch | of the limit |"
    )
    assert table[2] == "| pool | ours | 2000 | 0% | 2.50 | 25.0% |"
    aligned = suite_table(report.rows, markdown=False).splitlines()
    assert aligned[1].split() == ["pool", "ours", "2000", "0%", "2.50", "25.0%"]


def test_minimum_bytes_by_hand():
    # 100 elements: 400 bytes, 25 pooled: 100 bytes, and their switches.
    assert pooling_work.minimum_bytes("pool", 100, 4, 1) == 400 + 100 + 25
    assert pooling_work.minimum_bytes("unpool", 100, 4, 8) == 100 + 200 + 400
    assert (
        pooling_work.minimum_bytes("pool, unpool", 100, 4, 0.25) == 2 * 400 + 100 + 6.25
    )
    gradient = pooling_work.minimum_bytes("ReLU, pool gradient", 100, 4, 1)
    assert gradient == 400 + 2 * 100 + 25


def test_flops_by_hand():
    # block1_conv1: 3 to 64 channels, block1_conv2: 64 to 64, on 10 × 10 positions.
    conv1, conv2 = 2 * 9 * 3 * 64 * 100, 2 * 9 * 64 * 64 * 100
    assert flops.reconstruction_flops(1, 1, 10, 10) == 2 * (conv1 + conv2)
    # Encoder forward twice and the gradient of its input; decoder forward, gradient of
    # both kernels, and of the input of its last layer alone.
    encoder = 3 * (conv1 + conv2)
    decoder = (conv2 + conv1) + (conv2 + conv1) + conv1
    assert flops.train_step_flops(1, 1, 10, 10) == encoder + decoder
    deeper = convolutions_up_to(2)[2]  # block2_conv1, 64 to 128 on a quarter
    assert flops.convolution_flops(deeper, 3, 8, 12) == 3 * 24 * 2 * 9 * 64 * 128
    # Published for VGG19 of 224 × 224: 19.6 billion multiplications and additions, of
    # which the last two convolutions and the dense layers are not in block 5's cut.
    found = flops.reconstruction_flops(5, 1, 224, 224)
    assert found == pytest.approx(4 * 18.6e9, rel=0.01)


def test_different_results_are_refused():
    ours = {"a": 1.0, "image": np.ones((1, 2))}
    require_close("l1", "torch", {"a": 1.01, "image": np.ones((1, 2))}, ours, 0.1)
    for wrong in (1.2, np.nan):
        with pytest.raises(MismatchError, match="l1: a of torch differs"):
            require_close("l1", "torch", {**ours, "a": wrong}, ours, 0.1)
    with pytest.raises(MismatchError, match="image of torch differs"):
        other = np.array([[1, np.nextafter(1, 2)]])
        require_close("pool", "torch", {**ours, "image": other}, ours, 0)


def test_models_of_one_name_are_refused():
    assert names_of_models(["runs/a", "runs/b/"]) == ["a", "b"]
    with pytest.raises(ConfigError, match=r"different last names, got \['b', 'b'\]"):
        names_of_models(["runs/a/b", "runs/c/b"])
