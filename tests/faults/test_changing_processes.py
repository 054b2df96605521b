"""A run that is shared by one process, then by four, by two, by one with 8 devices."""

import os

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.extended, pytest.mark.timeout(600)]

# Seven photos of validation: no number of processes divides them, and no batch.
_FIELDS = {
    "num_steps": 24,
    "device_per_core": False,
    "data__batch_size": 8,
    "data__split_fractions": (0.65, 0.35, 0.0),
    "data__max_broken_share": 0.5,
    "checkpoints__every_steps": 6,
    "evaluation__every_steps": 6,
    "evaluation__batch_size": 8,
    "evaluation__num_photos": 7,
}


@pytest.fixture(scope="module")
def many_photos(make_photos, tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("many"), 21)


@pytest.fixture(scope="module")
def alone(make_training, many_photos, tmp_path_factory):
    """The run in one process with one device; do not write into its folder."""
    fields = _FIELDS | {"data__source": f"folder:{many_photos}"}
    training = make_training(tmp_path_factory.mktemp("alone"), **fields)
    status, told = training.run()
    assert status == 0, told
    assert told.count("validation on 7 photos") == 4
    return training


def _assert_same_curves(training, alone):
    assert training.logged_steps() == list(range(1, 25))
    for tag in ("train/loss", "train/gradient_norm"):
        ours, theirs = training.logged(tag), alone.logged(tag)
        np.testing.assert_allclose(
            list(ours.values()), list(theirs.values()), rtol=2e-4
        )
    # A mean over the photos of validation: with one left out or counted twice it is
    # another one.
    ours, theirs = (t.logged("validation/photo_l1") for t in (training, alone))
    assert list(ours) == list(theirs) == [6, 12, 18, 24]
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=2e-4)
    # One process writes.
    assert len(list((training.workdir / "pictures").iterdir())) == len(
        list((alone.workdir / "pictures").iterdir())
    )


@pytest.mark.fault("other processes after a restart")
def test_a_run_goes_on_with_other_processes_and_devices(
    make_training, alone, many_photos, monkeypatch, tmp_path
):
    training = make_training(tmp_path, **_FIELDS)
    training.fields["data.source"] = f"folder:{many_photos}"
    shares = [training.shared_by(4), training.shared_by(2), (), ()]
    saved = 0
    for number, share in enumerate(shares):
        last = number == len(shares) - 1
        if last:
            flags = "--xla_force_host_platform_device_count=8"
            monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} {flags}")
        told = len(training.told())
        process = training.start(share)
        if not last:
            step = training.last_checkpoint() + 3
            training.wait_for(process, f"step {step} of 24: loss", after=told)
            process.terminate()
        status, said = process.wait(timeout=120), training.told()[told:]
        assert status == (0 if last else 75), said
        assert saved == 0 or f"resuming {training.workdir} at step {saved}" in said
        saved = training.last_checkpoint()
    _assert_same_curves(training, alone)
