"""Released decoders as pairs: the same as in the workdir, anywhere, by the same names.

The workdir is written by hand: a pair need not be trained to be loaded.
"""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from configs.unpooling.base import make_config
from tests.experiments.commands import run_command
from vgg_unpool_jax import load_pair, load_trained
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import (
    ConfigError,
    ReleaseError,
    WeightsError,
    WeightsMismatchError,
)
from vgg_unpool_jax.pretrained import recorded
from vgg_unpool_jax.pretrained.load import load_vgg19_weights
from vgg_unpool_jax.pretrained.recorded import weights_record
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256, random_vgg19_weights
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.file import read, write
from vgg_unpool_jax.systems.results import results_file, write_evaluation
from vgg_unpool_jax.systems.unpooling.decoder import decoder_shapes
from vgg_unpool_jax.training import run_config
from vgg_unpool_jax.training.checkpoints import Checkpoints
from vgg_unpool_jax.training.state import create_train_state

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
STEP = 5


def _photos(height, width, n=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def _make_workdir(folder, weights, name="random", block=2):
    """A workdir as training leaves it, on these encoder weights."""
    config = make_config(block, "runlocal")
    config.decoder.normalize_features = True
    config.decoder.output_scale = 64.0
    config.decoder.initial_output = 114.0
    config.encoder.weights = name
    config.data.source = f"folder:{folder}/photos"
    generator = np.random.default_rng(3)
    params = {}
    for key, shape in decoder_shapes(block, config.decoder.to_dict()).items():
        collection, *place = key.split("/")
        if collection == "params":
            layer, kind = place
            # Small enough for outputs within [0, 255], where clipping hides nothing.
            values = 0.02 * generator.standard_normal(shape, np.float32)
            params.setdefault(layer, {})[kind] = values
    rms = generator.uniform(1, 100, (64, 128)[block - 1]).astype(np.float32)
    state = create_train_state(
        params, {"statistics": {"feature_rms": rms}}, optax.sgd(0.1), averaged=False
    )
    workdir = folder / "run"
    run_config.save(workdir, config)
    with Checkpoints(workdir) as saved:
        step = np.asarray(STEP, np.int32)
        record = {"vgg19": weights_record(weights)}
        saved.save(dataclasses.replace(state, step=step), record)
    return workdir


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the workdir, weights and released decoders of this file lie."""
    return tmp_path_factory.mktemp("released")


@pytest.fixture(scope="module")
def vgg19_file(folder):
    """A weight file in the shape of block 3, of which the pair uses two blocks."""
    weights = dataclasses.replace(
        random_vgg19_weights(11, block=3), origin="keras:trained.h5", sha256="aa" * 32
    )
    path = folder / "vgg19.safetensors"
    save_safetensors(weights, path)
    return path, weights


@pytest.fixture(scope="module")
def workdir(folder, vgg19_file):
    """Of a block-2 pair on that file."""
    return _make_workdir(folder, vgg19_file[1], str(vgg19_file[0]))


@pytest.fixture(scope="module")
def pair(workdir):
    """The pair as it is loaded from its workdir."""
    return load_pair(workdir)


@pytest.fixture(scope="module")
def file(folder, pair):
    """Its decoder as a file."""
    path = folder / "files" / "vgg19-block2.safetensors"
    pair.export(path, facts={"photos seen": 10})
    return path


@pytest.fixture
def by_name(file, monkeypatch):
    """The folder of that file in place of the package's; returns the name."""
    index.register(file)
    monkeypatch.setattr(index, "PACKAGE", file.parent)
    return "vgg19-block2"


# --- the same pair --------------------------------------------------------------------


def test_a_released_pair_is_the_pair_of_the_workdir_to_the_bit(pair, file, vgg19_file):
    loaded = load_pair(file, vgg19_file[0])
    assert (loaded.block, loaded.step) == (2, STEP)
    assert loaded.decoder == pair.decoder
    assert loaded.record == pair.record
    assert jax.tree.structure(loaded.decoder_variables) == jax.tree.structure(
        pair.decoder_variables
    )
    images = _photos(21, 30, n=2)
    wanted = np.asarray(pair.reconstruct(images))
    assert 0 < np.mean((wanted > 0) & (wanted < 255))  # not clipped everywhere
    np.testing.assert_array_equal(loaded.reconstruct(images), wanted)
    features, switches = loaded.encode(images[:, :20])
    np.testing.assert_array_equal(
        loaded.decode(features, switches), pair.decode(features, switches)
    )
    photo = _photos(40, 52)[0]
    np.testing.assert_array_equal(
        loaded.reconstruct_photo(photo, tile=48), pair.reconstruct_photo(photo, tile=48)
    )


@pytest.mark.parametrize(("dtype", "largest"), [("float16", 0.5), ("int8", 4.0)])
def test_rounded_pairs_reconstruct_nearly_the_same(
    dtype, largest, pair, vgg19_file, tmp_path
):
    path = tmp_path / "rounded.safetensors"
    pair.export(path, dtype=dtype)
    images = _photos(16, 16)
    loaded = load_pair(path, vgg19_file[0])
    assert loaded.release["dtype"] == dtype
    found = np.asarray(loaded.reconstruct(images))
    wanted = np.asarray(pair.reconstruct(images))
    assert 0 < np.abs(found - wanted).max() < largest


def test_names_are_loaded_by_both_loaders(by_name, pair, vgg19_file, monkeypatch):
    monkeypatch.setenv("VGG19_WEIGHTS", str(vgg19_file[0]))
    for load in (load_pair, load_trained):
        loaded = load(by_name)
        assert loaded.step == STEP
        assert loaded.release["facts"] == {"photos seen": 10}
    assert pair.release is None
    with pytest.raises(ReleaseError, match=r"no released model vgg19-block4; .*block2"):
        load_trained("vgg19-block4")


def test_a_workdir_goes_before_a_release_of_its_name(
    by_name, workdir, vgg19_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / by_name).symlink_to(workdir)
    assert load_pair(by_name).release is None
    assert load_trained(by_name).release is None


# --- files that do not fit ------------------------------------------------------------


def _rewrite(file, path, change):
    """The file with another config or other arrays, and digests that fit them."""
    found = read(file)
    fields = ("config", "step", "pretrained")
    options = json.loads(json.dumps({key: found.metadata[key] for key in fields}))
    change(options["config"], found.variables)
    write(path, found.variables, **options)


def _pop_kernel(config, variables):
    del variables["params"]["block2_conv1"]["kernel"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (_pop_kernel, ReleaseError, "block2_conv1/kernel is absent, expected"),
        (
            lambda config, _: config["encoder"].update(block=9),
            ConfigError,
            "no decoder of block 9",
        ),
    ],
)
def test_a_file_that_does_not_fit_its_config_is_refused(
    change, error, words, file, tmp_path
):
    path = tmp_path / "changed.safetensors"
    _rewrite(file, path, change)
    with pytest.raises(error, match=words) as caught:
        load_pair(path)
    assert type(caught.value) is error and str(path) in str(caught.value)


# --- what an exported file says -------------------------------------------------------


def test_an_exported_file_knows_its_origin_and_no_path(file, folder, vgg19_file):
    metadata = read(file).metadata
    weights = vgg19_file[1]
    used = random_vgg19_weights(11, block=2)  # whose digest is that of its arrays
    expected = weights_record(weights) | {"layers_sha256": used.sha256}
    assert metadata["pretrained"] == expected
    assert metadata["config"]["data"]["source"] == "folder:photos"
    assert metadata["config"]["encoder"]["weights"] == "vgg19.safetensors"
    assert str(folder).encode() not in file.read_bytes()


def test_a_release_that_is_exported_again_stays_what_it_was(
    file, vgg19_file, tmp_path, folder
):
    # On weights that are the same in other words: the training's are remembered.
    copy = dataclasses.replace(vgg19_file[1], origin="keras:public.h5", sha256="b" * 64)
    save_safetensors(copy, tmp_path / "copy.safetensors")
    loaded = load_pair(file, tmp_path / "copy.safetensors")
    assert loaded.record["origin"] == "keras:public.h5"
    again = tmp_path / "again.safetensors"
    loaded.export(again)
    assert again.read_bytes() == file.read_bytes()
    loaded.export(again, facts={})
    assert read(again).metadata["facts"] == {}


# --- the weights of VGG19 -------------------------------------------------------------


def test_weights_with_another_hash_but_the_same_used_layers_are_taken(
    workdir, file, vgg19_file, tmp_path
):
    params = {name: dict(layer) for name, layer in vgg19_file[1].params.items()}
    params["block3_conv1"]["kernel"] = params["block3_conv1"]["kernel"] + 1
    other = dataclasses.replace(vgg19_file[1], params=params, sha256="cc" * 32)
    path = tmp_path / "other.safetensors"
    save_safetensors(other, path)
    loaded = load_pair(file, path)
    assert loaded.record["sha256"] == "cc" * 32
    # A workdir is as strict as it was.
    with pytest.raises(WeightsMismatchError):
        load_pair(workdir, path)


def test_a_known_rounding_of_the_kernels_is_taken_with_a_warning(
    file, vgg19_file, tmp_path, monkeypatch, caplog
):
    weights = vgg19_file[1]
    params = {name: dict(layer) for name, layer in weights.params.items()}
    params["block2_conv1"]["kernel"] = params["block2_conv1"]["kernel"] * 1.001
    path = tmp_path / "rounded.safetensors"
    save_safetensors(dataclasses.replace(weights, params=params), path)
    with pytest.raises(WeightsMismatchError):
        load_pair(file, path)
    layers = read(file).metadata["pretrained"]["layers_sha256"]
    biases = arrays_sha256(weights.params, 2, kinds=("bias",))
    monkeypatch.setattr(recorded, "ROUNDED", {layers: biases})
    assert load_pair(file, path).record["origin"] == weights.origin
    assert "its kernels are not quite those" in caplog.text
    for change in (_nudged, _other_preprocessing):
        save_safetensors(change(dataclasses.replace(weights, params=params)), path)
        with pytest.raises(WeightsMismatchError):
            load_pair(file, path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["vgg19-block4", "vgg19-block5"])
def test_the_deep_released_pairs_take_the_public_kernels(
    name, vgg19_weights_path, tmp_path, caplog
):
    # Any others in place of the public ones, which are not at hand.
    weights = load_vgg19_weights(vgg19_weights_path)
    params = {name: dict(layer) for name, layer in weights.params.items()}
    params["block4_conv1"]["kernel"] = params["block4_conv1"]["kernel"] * 1.001
    path = tmp_path / "public.safetensors"
    save_safetensors(dataclasses.replace(weights, params=params), path)
    load_pair(name, vgg19_weights_path)
    assert "not quite those" not in caplog.text
    load_pair(name, path)
    assert "not quite those" in caplog.text


def _nudged(weights):
    params = {name: dict(layer) for name, layer in weights.params.items()}
    params["block2_conv2"]["bias"] = params["block2_conv2"]["bias"] + np.float32(1e-6)
    return dataclasses.replace(weights, params=params)


def _other_preprocessing(weights):
    return dataclasses.replace(weights, preprocessing="torchvision")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_nudged, "keras:trained.h5 .SHA-256 up to block2_conv2"),
        (_other_preprocessing, "torchvision preprocessing"),
    ],
)
def test_other_used_weights_are_refused_though_the_file_hash_is_the_same(
    change, words, file, vgg19_file, tmp_path, monkeypatch
):
    path = tmp_path / "other.safetensors"
    save_safetensors(change(vgg19_file[1]), path)
    with pytest.raises(WeightsMismatchError, match=words) as caught:
        load_pair(file, path)
    assert str(caught.value).count("keras:trained.h5") == 2  # names both
    monkeypatch.setenv("VGG19_WEIGHTS", str(path))
    with pytest.raises(WeightsMismatchError):
        load_pair(file)


def test_the_download_is_of_the_flavour_trained_with(file, tmp_path, monkeypatch):
    asked = []

    def fetch(flavour, **_):
        asked.append(flavour)
        raise WeightsError("no network")

    monkeypatch.setattr("vgg_unpool_jax.pretrained.load.fetch", fetch)
    monkeypatch.setattr("vgg_unpool_jax.pretrained.load.import_torch", lambda _: None)
    weights = random_vgg19_weights(4, block=1, preprocessing="torchvision")
    weights = dataclasses.replace(weights, origin="torchvision:a.pth")
    save_safetensors(weights, tmp_path / "a.safetensors")
    workdir = _make_workdir(tmp_path, weights, str(tmp_path / "a.safetensors"), block=1)
    load_pair(workdir).export(tmp_path / "torch.safetensors")
    for path in (file, tmp_path / "torch.safetensors"):
        with pytest.raises(WeightsError, match="no network"):
            load_pair(path)
    assert asked == ["keras", "torchvision"]


def test_random_weights_are_drawn_again(tmp_path):
    workdir = _make_workdir(tmp_path, random_vgg19_weights(0, block=1), block=1)
    pair, path = load_pair(workdir), tmp_path / "random.safetensors"
    pair.export(path)
    loaded = load_pair(path)
    assert loaded.record == pair.record
    photos = _photos(8, 8)
    np.testing.assert_array_equal(loaded.reconstruct(photos), pair.reconstruct(photos))


# --- evaluation and commands ----------------------------------------------------------


def test_results_of_a_release_want_a_file(file, tmp_path, by_name):
    for release in (file, by_name):
        with pytest.raises(ConfigError, match="--output"):
            results_file(release)
        assert results_file(release, tmp_path / "r.json") == tmp_path / "r.json"
    assert results_file(tmp_path) == tmp_path / "results.json"


@pytest.fixture(scope="module")
def photos(folder):
    """A folder with two photos."""
    (folder / "photos").mkdir(exist_ok=True)
    for number in range(2):
        image = Image.fromarray(_photos(32, 36, seed=number)[0])
        image.save(folder / "photos" / f"{number}.png")
    return folder / "photos"


def test_an_evaluation_stands_beside_the_file_that_was_named(
    file, photos, vgg19_file, tmp_path
):
    loaded = load_trained(file, vgg19_file[0])
    source = make_source(f"folder:{photos}")
    score = loaded.evaluate(Split(source, np.arange(2)), image_size=16, batch_size=2)
    before = sorted(file.parent.iterdir())
    files = write_evaluation(file, loaded, score, {}, tmp_path / "out" / "b2.json")
    assert files == [tmp_path / "out" / "b2.json", tmp_path / "out/b2_evaluation.png"]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert sorted(file.parent.iterdir()) == before
    results = json.loads(files[0].read_text())
    assert results["released_decoder"]["file"] == "vgg19-block2.safetensors"
    assert len(results["released_decoder"]["sha256"]) == 64
    assert results["provenance"]["workdir"] is None
    assert results["training_steps"] == STEP


def test_the_commands_export_and_take_a_file(workdir, photos, vgg19_file, tmp_path):
    facts, results = tmp_path / "facts.json", tmp_path / "results.json"
    facts.write_text(json.dumps({"hours": 2}))
    metrics = {"l1": {"mean": 3.5, "interval": [3, 4], "photos": 20}}
    results.write_text(json.dumps({"metrics": metrics, "training_steps": STEP}))
    output = tmp_path / "new" / "vgg19-block2.safetensors"
    done = run_command(
        "export",
        f"--workdir={workdir}",
        f"--output={output}",
        "--format=safetensors",
        "--part=decoder",
        "--dtype=int8",
        f"--facts={facts}",
        f"--results={results}",
    )
    assert done.returncode == 0, done.stderr
    size = output.stat().st_size
    assert f"decoder: {output} ({size:,} bytes, int8)" in done.stdout
    assert read(output).metadata["facts"] == {"hours": 2}
    card = output.with_suffix(".md").read_text()
    assert "| L1, grey levels | 3.500 | 3.000 to 4.000 | 20 |" in card
    assert "- hours: 2" in card
    assert "max-unpooling with the encoder's switches" in card

    done = run_command(
        "reconstruct",
        f"--workdir={output}",
        f"--weights={vgg19_file[0]}",
        f"--input={photos}",
        f"--output={tmp_path / 'rebuilt'}",
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "rebuilt").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("evaluate", ["--workdir={file}"], "name a file with --output"),
        (
            "export",
            ["--pair=vgg19-nothing", "--output=x", "--format=safetensors"],
            "no released model vgg19-nothing",
        ),
    ],
)
def test_errors_are_one_sentence(command, arguments, words, file):
    done = run_command(command, *(argument.format(file=file) for argument in arguments))
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
