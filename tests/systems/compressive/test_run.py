"""Two stages on the trainer, and files of what they trained."""

import jax
import numpy as np
import pytest

from configs.codec import experiment4, experiment5
from tests.experiments.commands import run_command
from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.codec.bitstream import BitstreamError
from vgg_unpool_jax.systems.compressive.objective import from_config
from vgg_unpool_jax.systems.compressive.trained import pack, unpack


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Workdirs of both stages."""
    folder = tmp_path_factory.mktemp("runs")
    config = experiment4.get_config("runlocal")
    config.num_steps = 10
    config.optimizer.learning_rate = 1e-3
    config.evaluation.every_steps = config.checkpoints.every_steps = 10
    train_and_evaluate(config, folder / "1")
    config = experiment5.get_config("runlocal")
    config.initialize_from = str(folder / "1")
    config.optimizer.learning_rate = 1e-3
    train_and_evaluate(config, folder / "2")
    return folder


def _equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.extended
def test_stage_two_trains_the_decoder_alone(stages):
    first, second = (load_trained(stages / name).variables for name in ("1", "2"))
    assert _equal(first["params"]["encoder"], second["params"]["encoder"])
    assert not _equal(first["params"]["decoder"], second["params"]["decoder"])
    stats = [v["batch_stats"]["encoder"] for v in (first, second)]
    assert _equal(*stats)
    # As published they move, although the parameters do not.
    config = experiment5.get_config("runlocal,seed_batch_norm")
    images = make_source("samples")[0][None, :32, :32].astype(np.float32)
    state = {"batch_stats": first["batch_stats"]}
    aux = from_config(config).losses(
        first["params"], state, {"image": images}, None, True
    )[1]
    assert not _equal(stats[0], aux.model_state["batch_stats"]["encoder"])


@pytest.mark.extended
def test_an_evaluation_has_both_sides_of_the_quantiser(stages):
    source = make_source("samples")
    part = Split(source, np.arange(len(source)))
    trained = load_trained(stages / "1")
    found = {bits: trained.evaluate(part, bits=bits) for bits in (None, 1, 8)}
    assert "dB with one of 8 bits" in found[8].report()
    assert "dB with one" not in found[None].report()
    psnr = {bits: evaluation.to_dict() for bits, evaluation in found.items()}
    exact = psnr[None]["psnr_unquantized"]
    assert psnr[None]["psnr_quantized"] == pytest.approx(exact, abs=1e-6)
    assert psnr[1]["psnr_unquantized"] == pytest.approx(exact, abs=1e-6)
    with pytest.raises(ConfigError, match="multiples of 8, got 30×30"):
        trained.evaluate(part, image_size=30)
    errors = [abs(psnr[bits]["psnr_quantized"] - exact) for bits in (1, 8)]
    assert errors[0] > 0.01 > errors[1]


@pytest.mark.extended
def test_files_have_the_length_of_their_integers(stages):
    codec = load_trained(stages / "2")
    photo = make_source("samples")[0][:43, :70]
    for bits in (3, 6):
        content = codec.compress(photo, bits)
        values = 6 * 9 * codec.model.channels
        # 9 bytes of head, 4 of the check sum, two floats for each channel.
        assert len(content) == 9 + 4 + 8 * codec.model.channels + -(-values * bits // 8)
        decoded = codec.decompress(content)
        assert decoded.shape == photo.shape and decoded.dtype == np.uint8
    # What is decoded is what the evaluation's quantiser makes of it.
    square = make_source("samples")[0][:32, :32]
    images = square[None].astype(np.float32)
    variables = codec.variables
    state = {"batch_stats": variables["batch_stats"]}
    outputs = (
        from_config(codec.config)
        .losses(variables["params"], state, {"image": images}, None, False)[1]
        .outputs
    )
    expected = np.round(np.clip(outputs["output"][0], 0, 255))
    assert np.abs(codec.decompress(codec.compress(square)) - expected).max() <= 1
    assert codec.decompress(codec.compress(photo, grey=True)).std(axis=2).max() == 0


@pytest.mark.extended
def test_damaged_files_are_refused(stages):
    codec = load_trained(stages / "2")
    content = codec.compress(np.full((9, 9, 3), 77, np.uint8))
    for position in range(len(content)):
        broken = bytearray(content)
        broken[position] ^= 4
        with pytest.raises(BitstreamError):
            codec.decompress(bytes(broken))
        with pytest.raises(BitstreamError):
            codec.decompress(content[:position])
    with pytest.raises(BitstreamError, match="by another model"):
        load_trained(stages / "1").decompress(content)
    with pytest.raises(ConfigError, match="number of bits from 1 to 8, got 9"):
        codec.compress(np.zeros((8, 8, 3), np.uint8), 9)


def test_integers_are_packed_from_the_lowest_bit_on():
    assert pack(np.array([1, 2, 5]), 3) == bytes([0b01_010_001, 0b1])
    integers = np.arange(100) % 64
    np.testing.assert_array_equal(unpack(pack(integers, 6), 6, 100), integers)


@pytest.mark.extended
def test_the_commands_take_it(stages, tmp_path):
    from PIL import Image

    photo = make_source("samples")[0][:24, :40]
    Image.fromarray(photo).save(tmp_path / "a.png")
    codec = f"--codec={stages / '2'}"
    run = run_command(
        "compress",
        codec,
        f"--input={tmp_path / 'a.png'}",
        f"--output={tmp_path / 'c'}",
        "--quality=6",
    )
    assert run.returncode == 0, run.stderr
    run = run_command(
        "decompress", codec, f"--input={tmp_path / 'c'}", f"--output={tmp_path / 'd'}"
    )
    assert run.returncode == 0, run.stderr
    found = np.asarray(Image.open(tmp_path / "d/a.png"))
    trained = load_trained(stages / "2")
    np.testing.assert_array_equal(found, trained.decompress(trained.compress(photo, 6)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("quantizer.bits", 9, "0 to 8, got 9"),
        ("quantizer.gradient", "soft", "none, identity, noise, got 'soft'"),
        ("model.form", "drawing", "code, paper, got 'drawing'"),
        ("model.clip", "soft", "hard, identity, got 'soft'"),
        ("model.channels", 0, "at least 1, got 0"),
    ],
)
def test_configs_that_cannot_be_used(field, value, message):
    config = experiment4.get_config("runlocal")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=message):
        from_config(config)


def test_variants_with_a_quantiser_need_its_bits():
    assert experiment5.get_config("noise,photos").quantizer.bits == 6
    with pytest.raises(ValueError, match="3, 5 and 7"):
        experiment4.get_config("noise")
