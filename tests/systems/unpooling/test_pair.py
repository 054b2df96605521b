"""Encoders and pairs as other programs use them, on a pair trained for two steps."""

import concurrent.futures
import copy
import dataclasses
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vgg_unpool_jax
from configs.unpooling.base import make_config
from tests.npz import load_npz
from vgg_unpool_jax import load_encoder, load_pair
from vgg_unpool_jax.errors import (
    ConfigError,
    WeightsMismatchError,
)
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.photo_range import any_range
from vgg_unpool_jax.pretrained.safetensors_file import save_safetensors
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.unpooling.decoder import UnpoolingDecoder
from vgg_unpool_jax.training import run_config


def _photos(height, width, n=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def _train(folder, weights):
    """A block-2 pair of two steps: its workdir and the result of the trainer."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(6):
        Image.fromarray(_photos(20, 24, seed=number)[0]).save(photos / f"{number}.png")
    config = make_config(2, "runlocal")
    config.num_steps = config.checkpoints.every_steps = 2
    config.data.source = f"folder:{photos}"
    config.data.image_size = config.evaluation.image_size = 16
    config.evaluation.num_pictures = 0
    config.loss.ms_ssim = config.loss.perceptual = 0.0
    config.decoder.normalize_features = True
    config.decoder.output_scale = 64.0
    config.decoder.initial_output = 114.0
    config.optimizer.average_decay = 0.9
    config.encoder.weights = weights
    workdir = folder / "run"
    return workdir, train_and_evaluate(config, workdir)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A weight file of block 2 and what is in it."""
    weights = dataclasses.replace(
        random_vgg19_weights(11, block=2), origin="keras:somewhere.h5"
    )
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    save_safetensors(weights, path)
    return path, weights


@pytest.fixture(scope="module")
def trained(weights_file, tmp_path_factory):
    """(workdir, result) of a block-2 pair on the encoder weights of that file."""
    return _train(tmp_path_factory.mktemp("pair"), str(weights_file[0]))


@pytest.fixture(scope="module")
def pair(trained):
    """That pair."""
    return load_pair(trained[0])


# --- encoders -------------------------------------------------------------------------


def test_an_encoder_of_a_file_encodes_uint8_photos(weights_file):
    path, weights = weights_file
    encoder = load_encoder(2, weights=path)
    images = _photos(8, 12, n=2)
    features, switches = encoder.encode(images)
    wanted, named = VGG19Encoder(2).apply(
        {"params": weights.params}, images.astype(np.float32)
    )
    assert features.dtype == jnp.float32
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(switches[0], named["switches"][0])
    assert encoder.record["sha256"] == weights.sha256
    assert encoder.block == 2


def test_the_environment_names_the_weights_where_nobody_does(weights_file, monkeypatch):
    path, weights = weights_file
    monkeypatch.setenv("VGG19_WEIGHTS", str(path))
    assert load_encoder(1).record["sha256"] == weights.sha256


def test_the_top_level_names_serve_a_round_trip(weights_file):
    pooled, codes = vgg_unpool_jax.max_pool_argmax(jnp.ones((1, 4, 4, 2)))
    assert vgg_unpool_jax.max_unpool(pooled, codes).shape == (1, 4, 4, 2)
    encoder = vgg_unpool_jax.load_encoder(1, weights_file[0])
    assert encoder.encode(_photos(4, 4))[0].shape == (1, 4, 4, 64)


# --- pairs ----------------------------------------------------------------------------


def test_a_pair_is_what_was_trained(pair, trained):
    _, result = trained
    assert pair.step == 2
    assert pair.block == pair.config.encoder.block == 2
    assert pair.decoder == UnpoolingDecoder(2, True, 64.0, 114.0)
    params = pair.decoder_variables["params"]
    average = result.state.average
    np.testing.assert_array_equal(
        params["block1_conv2"]["kernel"], average["block1_conv2"]["kernel"]
    )
    np.testing.assert_array_equal(
        pair.decoder_variables["statistics"]["feature_rms"],
        result.state.model_state["statistics"]["feature_rms"],
    )


def test_a_pair_encodes_and_decodes(pair):
    images = _photos(8, 12, n=3)
    features, switches = pair.encode(images)
    assert features.shape == (3, 4, 6, 128)
    assert [codes.shape for codes in switches] == [(3, 4, 6, 64)]
    decoded = pair.decode(features, switches)
    by_hand, _ = pair.decoder.apply(pair.decoder_variables, features, switches)
    np.testing.assert_allclose(decoded, by_hand, rtol=1e-4, atol=1e-2)
    # NumPy arrays do, too: features that were worked on or came from a file.
    again = pair.decode(np.asarray(features), [np.asarray(codes) for codes in switches])
    np.testing.assert_array_equal(decoded, again)


@pytest.mark.parametrize(("height", "width"), [(61, 47), (1, 6)])
def test_photos_of_any_size_are_padded_by_reflection_and_cropped_back(
    height, width, pair
):
    images = _photos(height, width, n=2)
    outputs = np.asarray(pair.reconstruct(images))
    assert outputs.shape == images.shape
    padded = images
    for axis, side in ((1, height), (2, width)):
        if side % 2:  # the row before the last, or the only one
            row = padded.take([max(side - 2, 0)], axis)
            padded = np.concatenate([padded, row], axis)
    decoded = np.asarray(pair.decode(*pair.encode(padded)))
    by_hand = decoded[:, :height, :width].clip(0.0, 255.0)
    np.testing.assert_allclose(outputs, by_hand, rtol=1e-4, atol=1e-2)


def test_reconstructions_are_clipped_and_decoded_images_are_not(pair):
    images = _photos(16, 16)
    features, switches = pair.encode(images)
    loud = pair.decode(100.0 * features, switches)
    assert float(loud.min()) < 0 or float(loud.max()) > 255
    with any_range():
        outputs = pair.reconstruct(np.where(images > 128, 60_000.0, -60_000.0))
    assert float(outputs.min()) >= 0 and float(outputs.max()) <= 255
    assert {0.0, 255.0} & {float(outputs.min()), float(outputs.max())}


# --- weights of a pair ----------------------------------------------------------------


def test_a_pair_finds_its_weights_again_or_takes_them_from_another_place(
    trained, tmp_path, weights_file, monkeypatch
):
    path, weights = weights_file
    first, workdir = tmp_path / "first.safetensors", tmp_path / "run"
    shutil.copy(path, first)
    shutil.copytree(trained[0], workdir)
    config = run_config.read(workdir)
    config.encoder.weights = str(first)
    run_config.save(workdir, config)
    assert load_pair(workdir).record["sha256"] == weights.sha256

    moved = tmp_path / "moved.safetensors"
    first.rename(moved)
    assert load_pair(workdir, weights=moved).record["sha256"] == weights.sha256
    monkeypatch.setenv("VGG19_WEIGHTS", str(moved))
    assert load_pair(workdir).record["sha256"] == weights.sha256

    other = tmp_path / "other.safetensors"
    save_safetensors(random_vgg19_weights(12, block=2), other)
    monkeypatch.setenv("VGG19_WEIGHTS", str(other))
    with pytest.raises(WeightsMismatchError):
        load_pair(workdir)


# --- folders that hold no pair --------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="is no workdir of a run") as caught:
        load_pair(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_loading_writes_nothing_into_the_workdir(trained):
    def content():
        return sorted(path.as_posix() for path in trained[0].rglob("*"))

    before = content()
    load_pair(trained[0])
    assert content() == before
    assert json.loads((trained[0] / "config.json").read_text())["num_steps"] == 2


def test_a_large_photo_is_done_in_tiles_with_the_same_result(pair):
    photo = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
    tiles = []

    def progress(spans):
        tiles.extend(spans)
        return spans

    tiled = pair.reconstruct_photo(photo, tile=48, progress=progress)
    whole = pair.reconstruct_photo(photo, tile=0, progress=progress)
    assert len(tiles) == 2
    assert tiled.shape == whole.shape == (40, 52, 3)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(whole, pair.reconstruct(photo[None])[0])
    with pytest.raises(ConfigError, match="tile must be at least 48 pixels"):
        pair.reconstruct_photo(photo, tile=20)


def _reconstruct(pair, photos):
    return np.asarray(pair.reconstruct(photos))


@pytest.mark.extended
def test_a_pair_is_copied_and_sent_to_a_process(pair):
    photos = _photos(20, 24)
    wanted = _reconstruct(pair, photos)
    for copied in (
        copy.copy(pair),
        copy.deepcopy(pair),
        pickle.loads(pickle.dumps(pair)),
    ):
        found = _reconstruct(copied, photos)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(_reconstruct(pair, photos), wanted)
        assert copied.config == pair.config and copied.describe() == pair.describe()
        assert copied.with_decoder(pair.decoder_variables).step == pair.step
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        found = executor.submit(_reconstruct, pair, photos).result(timeout=200)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)


SPREAD = """
import sys
import jax
import numpy as np
from vgg_unpool_jax import load_pair

assert jax.local_device_count() == 2
pair = load_pair(sys.argv[1])
photos = np.load(sys.argv[2])
mapped, shapes = pair._mapped_reconstruct, []


def noted(variables, shards):
    shapes.append(shards.shape)
    return mapped(variables, shards)


pair._mapped_reconstruct = noted
spread = pair.reconstruct(photos)
odd = pair.reconstruct(photos[:3])
assert shapes == [(2, 2, 61, 47, 3)], shapes
tiled = pair.reconstruct_photo(photos[0], tile=48)
floats = np.float32(photos)
found = {
    "jit": jax.jit(pair.reconstruct)(photos),
    "vmap": jax.vmap(pair.reconstruct)(photos[None])[0],
    "gradient": jax.grad(lambda x: pair.reconstruct(x).sum())(floats),
}
np.savez(sys.argv[3], spread=spread, odd=odd, tiled=tiled, **found)
"""


@pytest.mark.extended
def test_several_devices_share_a_batch_and_the_tiles(trained, pair, tmp_path):
    photos = _photos(61, 47, n=4)
    np.save(tmp_path / "photos.npy", photos)
    arguments = trained[0], tmp_path / "photos.npy", tmp_path / "found.npz"
    subprocess.run(
        [sys.executable, "-c", SPREAD, *map(str, arguments)],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "2"},
        timeout=200,
        check=True,
    )
    wanted = np.asarray(pair.reconstruct(photos))
    found = load_npz(tmp_path / "found.npz")
    np.testing.assert_allclose(found["spread"], wanted, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found["odd"], wanted[:3], rtol=0, atol=1e-3)
    for name in ("jit", "vmap"):  # another program, so another rounding
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=2e-2, err_msg=name)
    gradient = jax.grad(lambda x: pair.reconstruct(x).sum())(np.float32(photos))
    difference = np.abs(found["gradient"] - gradient)
    assert np.mean(difference) < 1e-3 * np.mean(np.abs(gradient))
    # By itself: how many photos there are decides how small layers are convolved.
    alone = pair.reconstruct_photo(photos[0], tile=0)
    np.testing.assert_allclose(found["tiled"], alone, rtol=0, atol=1e-3)
