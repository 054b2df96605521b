"""The table of the five pairs from result files."""

import copy

import pytest

from configs.unpooling.base import make_config
from tests.experiments.commands import run_command
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.systems.unpooling.table import (
    COLUMNS,
    PUBLISHED_L1,
    count_decoder_parameters,
    read_pair_results,
    release_table,
)


def _content(block=1):
    """What `experiments.evaluate` writes, in short."""
    config = make_config(block, "runlocal").to_dict()
    return {
        "metrics": {
            "l1": {"mean": 2.0 * block, "interval": [1.5, 2.5], "photos": 1125},
            "psnr": {"mean": 36.439, "interval": None, "photos": 1125},
            "ssim": {"mean": 0.97304, "interval": None, "photos": 1125},
            "ms_ssim": {"mean": 0.99651, "interval": None, "photos": 1125},
        },
        "border_ratio": 1.25,
        "image_size": 256,
        "crop": "center",
        "source": "folder:a|b",
        "training_steps": 9000,
        "vgg19_weights": {"preprocessing": "caffe"},
        "provenance": {
            "config": config,
            "hardware": {
                "platform": "cpu",
                "device_kind": "cpu",
                "device_count": 1,
                "cpu_model": "AMD EPYC",
                "cpu_cores": 2,
            },
        },
    }


def _write(folder, content, name="results.json"):
    write_results(folder / name, content)
    return folder / name


def _cells(table, block):
    line = table.splitlines()[1 + block]
    values = [cell.strip() for cell in line.strip("|").split(" |")]
    return dict(zip(COLUMNS, values, strict=True))


def test_a_row_holds_what_the_file_says(tmp_path):
    path = _write(tmp_path, _content())
    table = release_table([read_pair_results(path)])
    assert _cells(table, 1) == {
        "pair": "block1_conv2",
        "published L1": "2.494",
        "L1": "2.000 (1.500 to 2.500)",
        "L1 / published": "0.802",
        "PSNR": "36.44 dB",
        "SSIM": "0.9730",
        "MS-SSIM": "0.9965",
        "border / centre": "1.250",
        "decoder parameters": "38,659",
        "training photos seen": "18,000",
        "hardware": "2 × AMD EPYC cores (of the evaluation)",
        "hours": "",
    }
    assert table.splitlines()[-1] == (
        "block1_conv2: 1,125 photos, folder:a|b, crop center 256² pixels."
    )


def test_photos_seen_are_those_of_all_stages(tmp_path):
    content = _content()
    config = content["provenance"]["config"]
    config["num_steps"] = 9000
    config["data"]["stages"] = [[0.5, 256, 1]]  # 4,500 steps of 2 photos, then of 1
    cells = _cells(release_table([read_pair_results(_write(tmp_path, content))]), 1)
    assert cells["training photos seen"] == "13,500"


def test_pairs_without_a_file_are_not_trained_yet(tmp_path):
    files = [_write(tmp_path, _content(block), f"{block}.json") for block in (4, 2)]
    table = release_table(map(read_pair_results, files))
    lines = table.splitlines()
    assert len(lines[0].split("|")) == len(COLUMNS) + 2
    assert {len(line.split("|")) for line in lines[:7]} == {len(COLUMNS) + 2}
    for block, published in PUBLISHED_L1.items():
        cells = _cells(table, block)
        assert cells["pair"] == f"block{block}_conv2"
        assert cells["published L1"] == f"{published:.3f}"
        if block in (2, 4):
            assert cells["L1 / published"] == f"{2 * block / published:.3f}"
        else:
            assert cells["L1"] == "not trained yet"
            assert set(list(cells.values())[3:]) == {""}
    assert "not trained yet" in release_table([])


def test_what_a_file_lacks_stays_empty(tmp_path):
    config = {"system": "unpooling", "encoder": {"block": 1}}
    content = {
        "training_hours": 0.0,  # as where nobody kept account
        "training_hardware": None,
        "metrics": {"l1": {"mean": 3.0, "interval": None}},
        "provenance": {"config": config},
    }
    cells = _cells(release_table([read_pair_results(_write(tmp_path, content))]), 1)
    assert cells["L1"] == "3.000"
    assert set(list(cells.values())[4:]) == {""}


def test_what_the_training_recorded_stands_before_the_evaluation(tmp_path):
    content = _content()
    content["training_hours"] = 1.26
    content["training_hardware"] = {
        "platform": "gpu",
        "device_kind": "NVIDIA H200",
        "device_count": 8,
        "cpu_model": "AMD EPYC",
    }
    content["provenance"]["config"]["initialize_from"] = "/home/me/a|b"
    cells = _cells(release_table([read_pair_results(_write(tmp_path, content))]), 1)
    assert cells["hours"] == "1.3"
    assert cells["hardware"] == "8 × NVIDIA H200"
    assert cells["training photos seen"] == "18,000 after a\\|b"


@pytest.mark.parametrize("block", [1, 2, 5])
def test_parameters_are_counted_as_by_hand(block):
    # 9 · inputs · outputs weights and as many biases as outputs: every convolution of
    # VGG19 down to blockX_conv2, mirrored.
    widths = {1: [3, 64, 64], 2: [128, 128], 3: [256] * 4, 4: [512] * 4, 5: [512] * 2}
    chain = [width for number in range(1, block) for width in widths[number]]
    chain += widths[block][: 3 if block == 1 else 2]
    layers = zip(chain[1:], chain[:-1], strict=True)
    wanted = sum(9 * inputs * outputs + outputs for inputs, outputs in layers)
    assert count_decoder_parameters(_content(block)) == wanted
    if block == 1:
        assert wanted == 38_659


def test_another_upsampling_counts_its_own_parameters():
    content = _content(2)
    before = count_decoder_parameters(content)
    content["provenance"]["config"]["decoder"]["upsampling"] = "transposed"
    assert count_decoder_parameters(content) - before == 4 * 64 * 64 + 64
    content["provenance"]["config"]["decoder"] = {"of a later version": 1}
    assert count_decoder_parameters(content) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["provenance"]["config"].update(system="vae"),
        lambda content: content["provenance"]["config"]["encoder"].update(block=7),
        lambda content: content["metrics"]["l1"].update(mean="none"),
        lambda content: content.clear(),
    ],
)
def test_a_foreign_file_is_named_in_a_sentence(change, tmp_path):
    content = copy.deepcopy(_content())
    change(content)
    path = _write(tmp_path, content)
    with pytest.raises(ConfigError, match="is not the result file of an") as caught:
        read_pair_results(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_two_files_of_a_block_are_refused(tmp_path):
    files = [_write(tmp_path, _content(3), name) for name in ("a.json", "b.json")]
    with pytest.raises(ConfigError, match="two result files are of block 3"):
        release_table(map(read_pair_results, files))


def test_the_command_prints_the_table(tmp_path):
    path = _write(tmp_path, _content())
    table = release_table([read_pair_results(path)])
    done = run_command("pairs", "table", path)
    assert (done.returncode, done.stdout) == (0, f"{table}\n"), done.stderr
