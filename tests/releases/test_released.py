"""Files of single decoders: round trips, and every file that is refused."""

import json
import pathlib
import signal
import struct
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vgg_unpool_jax.errors import ReleaseError, WeightsError
from vgg_unpool_jax.releases import registry
from vgg_unpool_jax.releases.register import register
from vgg_unpool_jax.releases.release_metadata import (
    METADATA_KEY,
    check_version,
    without_folders,
)
from vgg_unpool_jax.releases.released import (
    DTYPES,
    decoder_shapes,
    encoder_sha256,
    find_release,
    read_decoder,
    released_names,
    write_decoder,
)
from vgg_unpool_jax.systems.unpooling.decoder import UnpoolingDecoder

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SECTION = {"normalize_features": True, "output_scale": 64.0, "initial_output": 114.0}
VGG19 = {"origin": "keras:vgg19.h5", "sha256": "12ab", "preprocessing": "caffe"}


def _config(block=2, **decoder):
    return {
        "system": "unpooling",
        "encoder": {"block": block, "weights": "", "random_seed": 0},
        "decoder": SECTION | decoder,
        "data": {"source": "samples", "split_fractions": (0.9, 0.1)},
        "initialize_from": "",
    }


def _variables(block=2, **decoder):
    generator = np.random.default_rng(block)
    tree = {}
    for name, shape in decoder_shapes(block, SECTION | decoder).items():
        *groups, leaf = name.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = generator.standard_normal(shape).astype(np.float32)
    # Beyond the range of float16, as the features of VGG19 may be.
    tree["statistics"]["feature_rms"] += 1e5
    return tree


def _write(path, variables=None, config=None, **options):
    options = {"vgg19": VGG19, "encoder_sha256": "34cd", "step": 7} | options
    variables = _variables() if variables is None else variables
    write_decoder(path, variables, config=config or _config(), **options)
    return path


@pytest.fixture
def file(tmp_path):
    """A decoder's file of block 2."""
    return _write(tmp_path / "decoder.safetensors")


def _rewrite(path, change_metadata=None, change_arrays=None):
    """Change what is in a file, as a damaged or foreign one would have it."""
    with safetensors.safe_open(path, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}
        metadata = json.loads(stored.metadata()[METADATA_KEY])
    if change_metadata is not None:
        metadata = change_metadata(metadata)
    if change_arrays is not None:
        change_arrays(arrays)
    strings = {} if metadata is None else {METADATA_KEY: json.dumps(metadata)}
    path.write_bytes(safetensors.numpy.save(arrays, strings))


# --- round trips ----------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 5])
def test_shapes_are_those_of_the_decoder_that_is_applied(block):
    side = 2 ** (block - 1)
    features = jnp.zeros((1, 1, 1, (64, 128, 256, 512, 512)[block - 1]))
    switches = tuple(
        jnp.zeros((1, side >> pool, side >> pool, (64, 128, 256, 512)[pool - 1]), "u1")
        for pool in range(1, block)
    )
    decoder = UnpoolingDecoder(block, **SECTION, upsampling="transposed")
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), features, switches)
    named = {
        "/".join(key.key for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    assert decoder_shapes(block, SECTION | {"upsampling": "transposed"}) == named
    assert ("params/transposed1/kernel" in named) == (block > 1)
    assert "params/block1_conv1/kernel" in named
    assert "statistics/feature_rms" in named


def test_float32_comes_back_to_the_bit_with_its_metadata(tmp_path):
    variables = _variables()
    variables["params"]["block1_conv1"]["kernel"] = np.asfortranarray(
        variables["params"]["block1_conv1"]["kernel"]
    )
    facts = {"photos seen": 16, "hours": 0.5, "note": "é ~3/4 of them, images/s"}
    got = read_decoder(_write(tmp_path / "a.safetensors", variables, facts=facts))
    assert jax.tree.structure(got.variables) == jax.tree.structure(variables)
    for found, wanted in zip(
        jax.tree.leaves(got.variables), jax.tree.leaves(variables), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)
    metadata = got.metadata
    assert metadata["format_version"] == 1
    assert (metadata["block"], metadata["step"]) == (2, 7)
    assert metadata["vgg19"] == VGG19
    assert metadata["encoder_sha256"] == "34cd"
    assert metadata["dtype"] == "float32"
    assert list(metadata["facts"].items()) == list(facts.items())
    assert metadata["config"]["decoder"] == SECTION
    assert metadata["config"]["data"]["split_fractions"] == [0.9, 0.1]


def test_float16_is_close_half_as_large_and_leaves_statistics_alone(tmp_path):
    variables = _variables()
    whole = _write(tmp_path / "whole.safetensors", variables)
    half = _write(tmp_path / "half.safetensors", variables, dtype="float16")
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    got = read_decoder(half)
    assert got.metadata["dtype"] == "float16"
    for layer, arrays in variables["params"].items():
        for kind, wanted in arrays.items():
            found = got.variables["params"][layer][kind]
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, rtol=2**-11, atol=2**-24)
    rms = got.variables["statistics"]["feature_rms"]
    np.testing.assert_array_equal(rms, variables["statistics"]["feature_rms"])


def _odd_kernels():
    """Variables with a channel of zeros, a tiny one, and one of an outlier."""
    variables = _variables()
    kernel = variables["params"]["block2_conv1"]["kernel"]
    kernel[..., 0], kernel[..., 1] = 0, kernel[..., 1] * np.float32(1e-42)
    kernel[0, 0, 0, 2] = -1e4
    return variables


def test_int8_is_within_half_a_step_a_quarter_as_large_and_kernels_alone(tmp_path):
    variables = _odd_kernels()
    whole = _write(tmp_path / "whole.safetensors", variables)
    small = _write(tmp_path / "small.safetensors", variables, dtype="int8")
    assert small.stat().st_size < 0.27 * whole.stat().st_size
    got = read_decoder(small)
    assert got.metadata["dtype"] == "int8"
    assert jax.tree.structure(got.variables) == jax.tree.structure(variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(got.variables)} == {np.dtype("f4")}
    for layer, arrays in variables["params"].items():
        wanted, found = arrays["kernel"], got.variables["params"][layer]["kernel"]
        # Of each output channel its own step, which is at least the smallest normal.
        step = np.abs(wanted.astype("f8")).max((0, 1, 2)) / 127
        step = np.maximum(step * (1 + 2**-15), np.finfo("f4").tiny)
        errors = np.abs(found.astype("f8") - wanted)
        assert (errors <= step / 2).all()
        assert errors.max() > 0.4 * step.min()  # it was rounded
        assert all(len(np.unique(found[..., c])) <= 255 for c in range(found.shape[3]))
        bias = got.variables["params"][layer]["bias"]
        np.testing.assert_array_equal(bias, arrays["bias"])
    odd = got.variables["params"]["block2_conv1"]["kernel"]
    assert not odd[..., 0].any()
    assert odd[0, 0, 0, 2] == pytest.approx(-1e4, rel=2**-15)
    rms = got.variables["statistics"]["feature_rms"]
    np.testing.assert_array_equal(rms, variables["statistics"]["feature_rms"])


def test_the_arrays_of_an_int8_file_are_what_others_can_read(tmp_path):
    file = _write(tmp_path / "a.safetensors", dtype="int8")
    arrays = safetensors.numpy.load_file(file)
    kernels = {name for name in arrays if name.endswith("/kernel")}
    assert {arrays[name].dtype.name for name in kernels} == {"int8"}
    assert {arrays[name].dtype.name for name in arrays.keys() - kernels} == {"float32"}
    got = read_decoder(file)
    for name in kernels:
        scale = arrays[f"{name}_scale"]
        assert scale.shape == arrays[name].shape[-1:]
        assert (np.abs(arrays[name]).max((0, 1, 2)) == 127).all()
        _, layer, _ = name.split("/")
        np.testing.assert_array_equal(
            got.variables["params"][layer]["kernel"],
            (arrays[name] * scale.astype("f8")).astype("f4"),
        )


def test_what_was_read_from_int8_gives_the_same_file(tmp_path):
    first = _write(tmp_path / "1.safetensors", _odd_kernels(), dtype="int8")
    again = read_decoder(first).variables
    second = _write(tmp_path / "2.safetensors", again, dtype="int8")
    assert first.read_bytes() == second.read_bytes()


def test_int8_leaves_transposed_convolutions_alone(tmp_path):
    variables = _variables(upsampling="transposed")
    config = _config(upsampling="transposed")
    path = _write(tmp_path / "a.safetensors", variables, config, dtype="int8")
    found = read_decoder(path).variables["params"]
    for kind in ("kernel", "bias"):
        np.testing.assert_array_equal(
            found["transposed1"][kind], variables["params"]["transposed1"][kind]
        )
    assert "kernel_scale" not in found["block1_conv1"]


def test_readers_before_int8_refuse_it_and_read_the_rest(tmp_path, assert_refused):
    for dtype, version in (("float16", 1), ("float32", 1), ("int8", 2)):
        path = _write(tmp_path / f"{dtype}.safetensors", dtype=dtype)
        metadata = read_decoder(path).metadata
        assert metadata["format_version"] == version
    # All that such a reader asks first, and it knew of version 1 only.
    assert_refused(
        lambda: check_version("the metadata", path, metadata, 1),
        path,
        "format version 2",
        "reads 1 only",
        "a newer release",
        error=ReleaseError,
    )


def test_a_decoder_without_statistics(tmp_path):
    variables = _variables()
    del variables["statistics"]
    config = _config(normalize_features=False)
    got = read_decoder(_write(tmp_path / "a.safetensors", variables, config))
    assert list(got.variables) == ["params"]


def test_the_same_decoder_gives_the_same_bytes(tmp_path):
    first, second = (_write(tmp_path / f"{n}.safetensors") for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_the_digest_of_an_encoder_sees_its_layers_only(make_weights):
    deep, shallow = make_weights(block=2), make_weights(block=1)
    assert encoder_sha256(deep.params, 1) == encoder_sha256(shallow.params, 1)
    assert encoder_sha256(deep.params, 2) != encoder_sha256(deep.params, 1)
    shallow.params["block1_conv2"]["bias"][0] += 1e-6
    assert encoder_sha256(deep.params, 1) != encoder_sha256(shallow.params, 1)


# --- paths of the machine -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("", ""),
        ("samples", "samples"),
        ("center_resize:320", "center_resize:320"),
        ("/home/me/vgg19.h5", "vgg19.h5"),
        ("~/runs/block1/", "block1"),
        ("..\\data\\w.h5", "w.h5"),
        ("folder:/home/me/photos", "folder:photos"),
        ("folder://data", "folder:data"),
        ("zip:/a/b.zip,folder:../c/d/,samples", "zip:b.zip,folder:d,samples"),
        ("folder:/home/me, too/photos", "folder:photos"),
        ("tfds:coco/2017:1.1.0:train", "tfds:coco/2017:1.1.0:train"),
    ],
)
def test_paths_are_cut_down_to_names(value, wanted):
    assert without_folders(value) == wanted


def test_no_path_of_the_machine_gets_into_a_file(tmp_path):
    config = _config()
    config["encoder"]["weights"] = f"{tmp_path}/weights/vgg19.h5"
    config["data"]["source"] = f"folder:{tmp_path}/photos,zip:{tmp_path}/more.zip"
    config["data"]["some_later_field"] = [{"deep": f"{tmp_path}/x"}]
    config["initialize_from"] = f"{tmp_path}/runs/first"
    vgg19 = VGG19 | {"origin": f"safetensors:{tmp_path}/vgg19.safetensors"}
    file = _write(tmp_path / "a.safetensors", config=config, vgg19=vgg19)
    assert str(tmp_path).encode() not in file.read_bytes()
    metadata = read_decoder(file).metadata
    assert metadata["config"]["encoder"]["weights"] == "vgg19.h5"
    assert metadata["config"]["data"]["source"] == "folder:photos,zip:more.zip"
    assert metadata["config"]["data"]["some_later_field"] == [{"deep": "x"}]
    assert metadata["config"]["initialize_from"] == "first"
    assert metadata["vgg19"]["origin"] == "safetensors:vgg19.safetensors"


@pytest.mark.parametrize(
    "fact",
    [
        {"photos": "/data"},
        {"photos": "those in /home/me/photos"},
        {"photos": ["90 % of folder:/home/me/photos"]},
        {"at": {"~/runs/block1": 1}},
        {"photos": "C:\\photos"},
        {"photos": "file:///photos"},
    ],
)
def test_facts_that_name_a_path_are_refused(fact, tmp_path, assert_refused):
    path = tmp_path / "a.safetensors"
    assert_refused(lambda: _write(path, facts=fact), "path", error=ReleaseError)
    assert not path.exists()


def test_facts_may_name_addresses_and_ratios(tmp_path):
    facts = {
        "photos": "http://images.cocodataset.org/zips/a.zip",
        "speed": "3 images/s",
    }
    file = _write(tmp_path / "a.safetensors", facts=facts)
    assert read_decoder(file).metadata["facts"] == facts


def test_photo_sources_among_the_facts_are_cut_down(tmp_path):
    facts = {"test_source": "folder:/home/me/photos", "more": ["samples,zip:/a/b.zip"]}
    file = _write(tmp_path / "a.safetensors", facts=facts)
    found = read_decoder(file).metadata["facts"]
    assert found == {"test_source": "folder:photos", "more": ["samples,zip:b.zip"]}


# --- what is not written --------------------------------------------------------------


def _changed(layer, kind, change):
    variables = _variables()
    change(variables["params"][layer][kind])
    return variables


def _set_first(value):
    def change(array):
        array.flat[0] = value

    return change


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "bfloat16"}, ["float16, float32, int8", "'bfloat16'"]),
        ({"facts": {"hours": float("nan")}}, ["facts", "JSON"]),
        ({"facts": {"hours": object()}}, ["facts", "JSON"]),
        (
            {"variables": _changed("block1_conv2", "bias", _set_first(np.inf))},
            ["NaN or infinite", "params/block1_conv2/bias"],
        ),
        (
            {
                "variables": _changed("block1_conv2", "bias", _set_first(70_000)),
                "dtype": "float16",
            },
            ["params/block1_conv2/bias", "70000", "65504", "take float32"],
        ),
        (
            {
                "variables": _changed(
                    "block1_conv2", "kernel", _set_first(np.finfo("f4").max)
                ),
                "dtype": "int8",
            },
            ["params/block1_conv2/kernel", "3.40282e+38", "infinity", "take float32"],
        ),
        (
            {
                "variables": _changed("block1_conv2", "kernel", _set_first(np.nan)),
                "dtype": "int8",
            },
            ["NaN or infinite", "params/block1_conv2/kernel"],
        ),
        ({"config": _config(block=1)}, ["do not fit the decoder of block 1"]),
        ({"config": _config(depth=3)}, ["describes no decoder of block 2", "depth"]),
    ],
)
def test_what_cannot_be_released_is_refused(options, words, tmp_path, assert_refused):
    path = tmp_path / "a.safetensors"
    assert_refused(lambda: _write(path, **options), *words, error=ReleaseError)
    assert not list(tmp_path.iterdir())


def test_another_ending_is_refused(tmp_path, assert_refused):
    path = tmp_path / "a.npz"
    assert_refused(lambda: _write(path), path, ".safetensors", error=ReleaseError)


def test_a_place_that_cannot_be_written_is_named(tmp_path, assert_refused):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.safetensors"
    assert_refused(lambda: _write(path), path, "written", error=ReleaseError)


KILLED = """
import os, signal, sys

import tests.releases.test_released as module
from vgg_unpool_jax.io import atomic

atomic.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
module._write(sys.argv[1])
"""


def test_a_killed_write_leaves_the_old_file_or_none(tmp_path):
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    _write(old, facts={"which": "old"})
    for path in (new, old):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path)],
            cwd=CHECKOUT,
            timeout=100,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
    assert not new.exists()
    assert read_decoder(old).metadata["facts"] == {"which": "old"}


# --- what is not read -----------------------------------------------------------------


def test_a_file_that_is_not_there_is_named(tmp_path, assert_refused):
    path = tmp_path / "none.safetensors"
    assert_refused(
        lambda: read_decoder(path), "no decoder file", path, error=ReleaseError
    )


def test_a_folder_is_refused(tmp_path, assert_refused):
    assert_refused(
        lambda: read_decoder(tmp_path), tmp_path, "is no file", error=ReleaseError
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"no such", b"<!DOCTYPE html><html>", b"PK\x03\x04" + bytes(60), bytes(9)],
)
def test_other_files_are_refused(content, tmp_path, assert_refused):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    words = (path, "is not a safetensors file")
    assert_refused(lambda: read_decoder(path), *words, error=ReleaseError)


@pytest.mark.parametrize("keep", [10, 200, -1])
def test_truncated_files_are_refused(keep, file, assert_refused):
    file.write_bytes(file.read_bytes()[:keep])
    words = (file, "damaged or incomplete")
    assert_refused(lambda: read_decoder(file), *words, error=ReleaseError)


def _without(*keys):
    def change(metadata):
        place = metadata
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        return metadata

    return change


def _with(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(metadata):
        place = metadata
        for key in keys:
            place = place[key]
        place[last] = value
        return metadata

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda metadata: None, ["no released decoder"]),
        (lambda metadata: [metadata], ["name no format version"]),
        (_without("format_version"), ["name no format version"]),
        (_with("format_version", 3), ["format version 3", "reads 1 and 2 only"]),
        (_with("format_version", 2), ["'float32' is of the format version 1", "say 2"]),
        (_with("dtype", "int8"), ["'int8' is of the format version 2", "say 1"]),
        (_without("encoder_sha256"), ["no encoder_sha256"]),
        (_with("config", "[]"), ["no config"]),
        (_without("config", "encoder"), ["disagree about the block"]),
        (_with("block", 1), ["disagree about the block"]),
        (_without("config", "decoder"), ["no section decoder"]),
        (_without("vgg19", "origin"), ["no vgg19 of use"]),
        (_with("vgg19", "preprocessing", "mine"), ["no vgg19 of use"]),
        (_with("config", "decoder", "depth", 3), ["describes no decoder", "depth"]),
        (_with("config", "decoder", "output_scale", "x"), ["describes no decoder"]),
        (
            _with("config", "decoder", "normalize_features", False),
            ["statistics/feature_rms is (128,), wanted absent"],
        ),
    ],
)
def test_metadata_of_no_use_are_refused(change, words, file, assert_refused):
    _rewrite(file, change)
    assert_refused(lambda: read_decoder(file), file, *words, error=ReleaseError)


def test_metadata_that_are_no_json_are_refused(file, assert_refused):
    arrays = safetensors.numpy.load_file(file)
    file.write_bytes(safetensors.numpy.save(arrays, {METADATA_KEY: "{"}))
    assert_refused(lambda: read_decoder(file), file, "no JSON", error=ReleaseError)


KERNEL = "params/block2_conv1/kernel"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop(KERNEL), [KERNEL, "absent, wanted (3, 3, 128, 64)"]),
        (
            lambda a: a.update({KERNEL: a[KERNEL][:1].copy()}),
            [KERNEL, "(1, 3, 128, 64), wanted (3, 3, 128, 64)"],
        ),
        (lambda a: a.update(more=np.ones(3)), ["more is (3,), wanted absent"]),
        (lambda a: a.update({KERNEL: a[KERNEL].astype("f8")}), [KERNEL, "F64"]),
        (lambda a: a.update({KERNEL: a[KERNEL].astype("i4")}), [KERNEL, "I32"]),
        (lambda a: a[KERNEL].fill(np.nan), [KERNEL, "NaN or infinite"]),
        (lambda a: _set_first(0.5)(a[KERNEL]), ["changed after it was written"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, words, file, assert_refused):
    _rewrite(file, change_arrays=change)
    assert_refused(lambda: read_decoder(file), file, *words, error=ReleaseError)


SCALE = f"{KERNEL}_scale"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop(SCALE), [f"{SCALE} is absent, wanted (64,)"]),
        (
            lambda a: a.update({SCALE: a[SCALE][:1].copy()}),
            [f"{SCALE} is (1,), wanted (64,)"],
        ),
        (
            lambda a: a.update({"params/block1_conv1/bias_scale": np.ones(3, "f4")}),
            ["params/block1_conv1/bias_scale is (3,), wanted absent"],
        ),
        (lambda a: _set_first(0)(a[SCALE]), [f"{SCALE} down to 0", "greater than 0"]),
        (lambda a: _set_first(-0.5)(a[SCALE]), [f"{SCALE} down to -0.5"]),
        (lambda a: _set_first(np.nan)(a[SCALE]), [SCALE, "NaN or infinite"]),
        (lambda a: _set_first(1e37)(a[SCALE]), [f"{SCALE} up to 1e+37", "infinite"]),
        (lambda a: _set_first(0.5)(a[SCALE]), ["changed after it was written"]),
        (lambda a: _set_first(7)(a[KERNEL]), ["changed after it was written"]),
        (
            lambda a: a.update({SCALE: a[SCALE].astype("f2")}),
            [f"{SCALE} as F16, wanted F32"],
        ),
        (
            lambda a: a.update({KERNEL: a[KERNEL].astype("f4")}),
            [f"{KERNEL} as F32, wanted I8"],
        ),
        (
            lambda a: a.update({KERNEL: a[KERNEL].view("u1")}),
            [f"{KERNEL} as U8, wanted I8"],
        ),
    ],
)
def test_int8_of_no_use_is_refused(change, words, tmp_path, assert_refused):
    file = _write(tmp_path / "decoder.safetensors", dtype="int8")
    _rewrite(file, change_arrays=change)
    assert_refused(lambda: read_decoder(file), file, *words, error=ReleaseError)


def test_int8_in_a_file_that_says_float32_is_refused(file, assert_refused):
    def change(arrays):
        arrays[KERNEL] = np.ones(arrays[KERNEL].shape, np.int8)

    _rewrite(file, change_arrays=change)
    words = (KERNEL, "as I8, wanted one of F16, F32")
    assert_refused(lambda: read_decoder(file), file, *words, error=ReleaseError)
    _rewrite(file, change_arrays=lambda a: a.update({SCALE: np.ones(64, "f4")}))
    words = (f"{SCALE} is (64,), wanted absent",)
    assert_refused(lambda: read_decoder(file), file, *words, error=ReleaseError)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_flipped_bit_is_noticed(dtype, tmp_path, assert_refused):
    file = _write(tmp_path / "decoder.safetensors", dtype=dtype)
    content = bytearray(file.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    content[8 + length + 40_000] ^= 1
    file.write_bytes(content)
    assert_refused(lambda: read_decoder(file), file, "changed", error=ReleaseError)


def test_weights_of_vgg19_are_no_decoder(tmp_path, make_weights, assert_refused):
    from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors

    path = tmp_path / "vgg19.safetensors"
    save_safetensors(make_weights(), path)
    words = (path, "no released decoder")
    assert_refused(lambda: read_decoder(path), *words, error=ReleaseError)


def test_the_errors_are_those_that_commands_and_callers_catch():
    assert issubclass(ReleaseError, ValueError)
    assert issubclass(ReleaseError, WeightsError)


# --- names ----------------------------------------------------------------------------


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A folder in place of the package's, with two decoders."""
    folder = tmp_path / "package"
    for name in ("vgg19-block2", "vgg19-block1"):
        _write(folder / f"{name}.safetensors")
    (folder / "vgg19-block1.md").write_text("card")
    register(folder)
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", folder)
    return folder


def test_names_are_listed_and_found(packaged):
    assert released_names() == ("vgg19-block1", "vgg19-block2")
    assert find_release("vgg19-block2") == packaged / "vgg19-block2.safetensors"


def test_an_unknown_name_is_refused_with_the_known_ones(packaged, assert_refused):
    assert_refused(
        lambda: find_release("vgg19-block3"),
        "vgg19-block3",
        "vgg19-block1, vgg19-block2",
        error=ReleaseError,
    )


def test_a_package_without_decoders_says_so(tmp_path, monkeypatch, assert_refused):
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", tmp_path)
    (tmp_path / "releases.json").write_text('{"format_version": 1, "decoders": {}}')
    assert released_names() == ()
    words = ("vgg19-block1", "none comes with this package")
    assert_refused(lambda: find_release("vgg19-block1"), *words, error=ReleaseError)


def test_a_path_goes_before_a_name(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_release("vgg19-block1") is not None
    (tmp_path / "vgg19-block1").mkdir()
    assert find_release("vgg19-block1") is None
    (tmp_path / "vgg19-block2").write_bytes(b"")
    assert find_release("vgg19-block2") is None
    (tmp_path / "run.safetensors").mkdir()
    assert find_release("run.safetensors") is None


def test_workdirs_and_files_are_told_apart(tmp_path):
    assert find_release(tmp_path) is None
    assert find_release("runs/block1") is None
    assert find_release("runs/vgg19-block1") is None
    assert find_release("nowhere") is None
    file = tmp_path / "none.safetensors"
    assert find_release(str(file)) == file


def test_what_the_package_ships_can_be_read():
    assert released_names() == tuple(f"vgg19-block{block}" for block in range(1, 5))
    for name in released_names():
        decoder = read_decoder(find_release(name))
        assert name == f"vgg19-block{decoder.metadata['block']}"
        assert find_release(name).with_suffix(".md").is_file()
