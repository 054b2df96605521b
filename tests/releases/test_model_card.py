"""Model cards say what file and evaluation say, and nothing else."""

import re

import pytest

from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.releases.model_card import model_card


def _metadata(block=1, dtype="float32", **decoder):
    return {
        "block": block,
        "config": {
            "encoder": {"block": block},
            "decoder": {"normalize_features": True, "output_scale": 64.0} | decoder,
            "loss": {"l1": 10.0, "l2": 1.0, "perceptual": 0.0},
            "data": {
                "batch_size": 8,
                "crop": "random",
                "image_size": 96,
                "source": "folder:train",
            },
        },
        "vgg19": {"origin": "keras:v.h5", "sha256": "12ab", "preprocessing": "caffe"},
        "encoder_sha256": "34cd",
        "step": 9000,
        "dtype": dtype,
        "facts": {
            "photos_seen": 72000,
            "hours": 1.28,
            "hardware": {"device_kind": "cpu", "cpu_cores": 2, "gpu": None},
            "blocks": [1, 2],
            "unknown": None,
            "licence": "MIT",
        },
    }


RESULTS = {
    "metrics": {
        "colour": {"mean": "inf", "interval": None, "photos": 3},
        "ssim": {"mean": 0.97303, "interval": [0.9694, 0.9766], "photos": 125},
        "l1": {"mean": 2.8829, "interval": [2.596, 3.1696], "photos": 125},
    },
    "source": "folder:/home/me/coco_test",
    "crop": "center",
    "image_size": 256,
    "training_steps": 9000,
    "provenance": {"config": {"encoder": {"block": 1}}},
}


def test_a_card_says_what_is_known():
    card = model_card(_metadata(), RESULTS)
    assert card.startswith("# vgg19-block1\n")
    assert 'load_pair("vgg19-block1")' in card
    assert 'load_pair("vgg19-block1.safetensors")' in card
    assert "38,659 parameters, stored as float32" in card
    assert "block1_conv2 64→64, block1_conv1 64→3" in card
    assert "divided by its RMS" in card
    assert "9,000 steps" in card
    assert "l1 10, l2 1." in card
    assert "Batches of 8 crops (random) of 96×96 pixels of `folder:train`" in card
    assert "- photos seen: 72,000\n- hours: 1.28\n" in card
    assert "- hardware: device kind cpu, cpu cores 2\n- blocks: 1, 2\n\n" in card
    assert card.count("MIT") == 1
    assert "This decoder: MIT." in card
    assert "`keras:v.h5` (SHA-256 `12ab`, caffe preprocessing)" in card
    assert "`34cd`" in card
    assert "University of Oxford, CC BY 4.0" in card
    assert "not clipped" in card
    assert "other test photos" in card
    rows = re.findall(r"^\| .* \|$", card, re.MULTILINE)
    assert rows == [
        "| metric | mean | 95 % interval | photos |",
        "| L1 in [0, 255] | 2.883 | 2.596 to 3.170 | 125 |",
        "| SSIM | 0.9730 | 0.9694 to 0.9766 | 125 |",
        "| colour | inf | - | 3 |",
    ]
    assert "`folder:coco_test`, crop center 256" in card
    assert "/home" not in card


def test_nothing_is_invented_where_nothing_is_known():
    metadata = _metadata(2) | {"facts": {}}
    metadata["config"] = {key: metadata["config"][key] for key in ("decoder",)}
    card = model_card(metadata)
    assert "Not evaluated." in card
    assert "|" not in card
    assert "This decoder" not in card
    assert "Losses" not in card and "Batches" not in card
    assert "\n\n\n" not in card and card.endswith("\n")


@pytest.mark.parametrize(
    ("block", "upsampling", "count", "words"),
    [
        # 3×3 kernels and biases by hand; a transposed convolution has 4·64² + 64 more.
        (1, "unpool", 38_659, "from VGG19's features."),
        (2, "unpool", 260_035, "max-unpooling with the encoder's switches"),
        (2, "nearest", 260_035, "nearest neighbours, without switches"),
        (2, "transposed", 276_483, "transposed convolutions, without switches"),
    ],
)
def test_the_architecture_is_that_of_the_config(block, upsampling, count, words):
    card = model_card(_metadata(block, upsampling=upsampling))
    assert f"- {count:,} parameters" in card
    assert words in card
    introduction = card.split("```")[0]
    assert ("(switches)" in introduction) == (block == 2 and upsampling == "unpool")


def test_float16_is_told_and_with_which_parameters_was_measured():
    card = model_card(_metadata(dtype="float16"), RESULTS)
    assert "rounded to float16 for storage" in card
    assert "Measured before the parameters were rounded" in card
    measured = RESULTS | {"released_decoder": {"file": "a.safetensors"}}
    card = model_card(_metadata(dtype="float16"), measured)
    assert "Measured before" not in card
    assert "rounded" not in model_card(_metadata(), RESULTS)


def test_int8_is_told():
    card = model_card(_metadata(dtype="int8"), RESULTS)
    assert "stored as int8 (kernels, with a scale per output channel)" in card
    assert "- Kernels were rounded to int8 for storage; arithmetic is float32." in card
    assert "Measured before the parameters were rounded to int8." in card


def test_another_name_is_a_file_only():
    card = model_card(_metadata(), name="mine")
    assert card.startswith("# mine\n")
    assert 'load_pair("mine.safetensors")' in card
    assert 'load_pair("mine")' not in card


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"training_steps": 8000}, "step 8000, the decoder is of step 9000"),
        (
            {"provenance": {"config": {"encoder": {"block": 2}}}},
            "block 2, the decoder is of block 1",
        ),
    ],
)
def test_results_of_another_decoder_are_refused(results, words):
    with pytest.raises(ReleaseError, match=words):
        model_card(_metadata(), RESULTS | results)
