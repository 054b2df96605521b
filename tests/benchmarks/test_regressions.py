"""What counts as slower than an earlier record."""

import copy

import pytest

from benchmarks import regressions


def _record(ratio=1.2, share=0.8, spread=0.05, peer_spread=0.05):
    def row(case, candidate, peer, ratios, share=None):
        row = {"suite": "ops", "case": case, "candidate": candidate, "peer": peer}
        row |= {"ratios": ratios, "fraction_of_limit": share}
        return row | {"spread": peer_spread if peer else spread}

    rows = [row("pool", "ours", None, {"torch": ratio}, share)]
    rows += [row("pool", "torch", "torch", {}), row("copy", "ours", None, {}, share)]
    return {"rows": rows}


def test_equal_and_faster_records_pass():
    earlier = _record()
    assert regressions.shared(earlier, earlier) == 2
    assert not regressions.slower(earlier, earlier)
    assert not regressions.slower(_record(ratio=3.0, share=0.9), earlier)


def test_a_ratio_that_fell_is_named():
    (found,) = regressions.slower(_record(ratio=0.8), _record())
    assert found == (
        "ops: pool: ours has 0.80 of the speed of torch, in the earlier record 1.20"
    )
    (found,) = regressions.slower(_record(share=0.5), _record())
    assert "copy: ours has 0.50 of the speed of the limit" in found


@pytest.mark.parametrize("noisy", ["spread", "peer_spread"])
def test_noise_of_either_program_excuses_it(noisy):
    assert not regressions.slower(_record(ratio=0.8, **{noisy: 0.5}), _record())


def test_cases_and_peers_of_one_record_alone_are_not_compared():
    other = copy.deepcopy(_record(ratio=0.1, share=0.1))
    for row in other["rows"]:
        row["case"] += ", larger"
    assert regressions.shared(other, _record()) == 0
    assert not regressions.slower(other, _record())
