"""Code in a file that a user got from elsewhere is never run.

A pickle that makes a file when it is loaded is put wherever a reader looks: each
refuses it in one sentence, and the file is never made.
"""

import ast
import io
import json
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from configs.unpooling import base as unpooling
from vgg_unpool_jax import load_pair
from vgg_unpool_jax.data import decode_photo, make_source
from vgg_unpool_jax.errors import (
    ConfigError,
    DamagedCheckpointError,
    PhotoError,
    ReleaseError,
    SourceError,
    WeightsError,
)
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.releases import file as release_file
from vgg_unpool_jax.runtime.lock import locked
from vgg_unpool_jax.systems.unpooling.release import training_facts
from vgg_unpool_jax.systems.unpooling.table import read_pair_results
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.history import ValidationHistory
from vgg_unpool_jax.training.state import create_train_state

pytestmark = pytest.mark.fault("a pickle with code in it")

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Payload:
    """Makes a file wherever its pickle is loaded."""

    def __init__(self, marker):
        self._marker = str(marker)

    def __reduce__(self):
        return open, (self._marker, "w")


@pytest.fixture
def marker(tmp_path):
    """The file that must not be there in the end."""
    marker = tmp_path / "code_was_run"
    yield marker
    assert not marker.exists()


@pytest.fixture
def payload(marker):
    """The pickle, by a protocol that all readers of today know."""
    return pickle.dumps(Payload(marker), protocol=2)


def test_the_payload_does_what_the_others_must_not(tmp_path):
    marker = tmp_path / "proof"
    pickle.loads(pickle.dumps(Payload(marker))).close()
    assert marker.exists()


def _assert_refused(call, error, *words):
    with pytest.raises(error) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert str(word) in sentence


# --- weights and released decoders ----------------------------------------------------


def _zipped(payload, name="archive/data.pkl"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, payload)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


def _legacy(payload):
    """PyTorch before 1.6: a number, a version and what machine, then the object."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [0x1950A86A20F9469CFC6C, 1001, facts]
    return b"".join(pickle.dumps(part, protocol=2) for part in head) + payload


def _npz(payload):
    return _zipped(_npy(payload), "params.npy")


def _npy(payload):
    """An array of objects as NumPy writes it: a header and a pickle."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + payload


LAYOUTS = {
    "alone": bytes,
    "torch": _zipped,
    "old torch": _legacy,
    "npz": _npz,
    "npy": _npy,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_that_are_a_pickle_are_refused(layout, payload, tmp_path):
    if "torch" in layout:
        pytest.importorskip("torch")
    for ending in (".pth", ".h5", ".safetensors", ".npz"):
        path = tmp_path / f"weights{ending}"
        path.write_bytes(LAYOUTS[layout](payload))
        _assert_refused(
            lambda p=path: load_vgg19_weights(p, block=1), WeightsError, path
        )


@pytest.mark.parametrize("position", ["value", "key", "module", "beside"])
def test_a_state_dict_with_a_payload_is_refused(position, marker, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    content = {
        "value": {"features.0.weight": Payload(marker)},
        "key": {("features.0.weight", Payload(marker)): torch.zeros(1)},
        "module": torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3)),
        "beside": {"features.0.weight": torch.zeros(64, 3, 3, 3), "e": Payload(marker)},
    }[position]
    torch.save(content, path)
    _assert_refused(
        lambda: load_vgg19_weights(path, block=1), WeightsError, path, "other objects"
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_release_that_is_a_pickle_is_refused(layout, payload, tmp_path):
    path = tmp_path / "decoder.safetensors"
    path.write_bytes(LAYOUTS[layout](payload))
    _assert_refused(lambda: release_file.read(path), ReleaseError, path)
    _assert_refused(lambda: load_pair(path), ReleaseError, path)


# --- runs and photos ------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A run with a checkpoint, and what its files hold; tests put those back."""
    import optax

    workdir = tmp_path_factory.mktemp("run")
    state = create_train_state(
        {"kernel": np.ones((2, 3), np.float32)}, {}, optax.sgd(0.1), averaged=False
    )
    with Checkpoints(workdir) as saved:
        saved.save(state, {"made": "here"})
    return workdir


ITEMS = ("record/metadata", "checksums/metadata", "state/_METADATA")


@pytest.mark.parametrize("item", ITEMS)
def test_a_checkpoint_with_a_pickle_in_it_is_refused(item, payload, checkpoint):
    folder = checkpoint / "checkpoints" / "0"
    whole = (folder / item).read_bytes()
    (folder / item).write_bytes(payload)
    try:
        with Checkpoints(checkpoint, create=False) as saved:
            _assert_refused(
                lambda: (saved.read_record(), saved.restore_for_inference()),
                DamagedCheckpointError,
                folder,
            )
    finally:
        (folder / item).write_bytes(whole)


def test_files_beside_a_checkpoint_are_not_looked_at(payload, checkpoint):
    """Orbax' notes may be missing; names of other libraries mean nothing."""
    folder = checkpoint / "checkpoints" / "0"
    notes = (folder / "_CHECKPOINT_METADATA").read_bytes()
    added = [folder / name for name in ("data.pkl", "state/state.pkl", "state.npz")]
    for path in (*added, folder / "_CHECKPOINT_METADATA"):
        path.write_bytes(payload)
    try:
        with Checkpoints(checkpoint, create=False) as saved:
            assert saved.read_record() == {"made": "here"}
            assert saved.restore_for_inference()[0]["kernel"].sum() == 6
    finally:
        (folder / "_CHECKPOINT_METADATA").write_bytes(notes)
        for path in added:
            path.unlink()


READERS = {
    "config.json": (run_config.read, ConfigError),
    "validation.json": (lambda folder: ValidationHistory(folder, 0), ConfigError),
    "results.json": (
        lambda folder: json_file.read(folder / "results.json"),
        ConfigError,
    ),
    "pair.json": (lambda folder: read_pair_results(folder / "pair.json"), ConfigError),
    "training_time.json": (training_facts, ConfigError),
    "photos.zip": (lambda folder: make_source(f"zip:{folder}/photos.zip"), SourceError),
    "photo.png": (
        lambda folder: decode_photo(folder / "photo.png", str(folder / "photo.png")),
        PhotoError,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_the_place_of_a_file_is_refused(name, payload, tmp_path):
    path = tmp_path / name
    read, error = READERS[name]
    for content in (payload, _zipped(payload)):
        path.write_bytes(content)
        _assert_refused(lambda: read(tmp_path), error, path)


def test_a_config_that_names_a_python_object_names_nothing(marker, tmp_path):
    """As YAML readers would make one of it."""
    config = unpooling.make_config(1, "runlocal")
    run_config.save(tmp_path, config)
    path = tmp_path / run_config.FILE
    tagged = f'!!python/object/apply:pathlib.Path.touch ["{marker}"]'
    path.write_text(path.read_text().replace('"unpooling"', json.dumps(tagged)))
    _assert_refused(lambda: load_pair(tmp_path), ConfigError, tmp_path)
    path.write_text(f"system: {tagged}\n")
    _assert_refused(lambda: load_pair(tmp_path), ConfigError, path)


def test_the_owner_of_a_lock_is_read_as_text(payload, tmp_path):
    (tmp_path / "lock.json").write_bytes(payload)
    with locked(tmp_path):
        (tmp_path / "lock.json").write_bytes(payload)
        with pytest.raises(ConfigError, match="is held by another run"):
            with locked(tmp_path):
                pytest.fail("it was held")


def test_torch_and_numpy_load_arrays_only():
    """Ruff finds other calls that unpickle or evaluate."""
    for path in (ROOT / "vgg_unpool_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                options = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert "allow_pickle" not in options, path
                if ast.unparse(node.func) == "torch.load":
                    assert options["weights_only"] == "True", path
