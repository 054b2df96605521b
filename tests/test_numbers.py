"""Numbers in README.md, docs/, configs/ and model cards are those of results/."""

import json
import re
import shutil

import pytest

from results import __main__ as command
from results import blocks
from vgg_unpool_jax.releases import index


@pytest.mark.parametrize("path", blocks.documents(), ids=lambda path: path.name)
def test_every_table_is_made_from_the_result_files(path):
    text = path.read_text(encoding="utf-8")
    # A block without its end would not be renewed.
    assert len(blocks.names(text)) == len(
        re.findall(r"(?:<!-- |^\[)results:", text, re.M)
    )
    assert text == blocks.renew(text), "run `python -m results`"


def test_every_block_stands_in_a_document():
    used = {
        name
        for path in blocks.documents()
        for name in blocks.names(path.read_text(encoding="utf-8"))
    }
    assert used == set(blocks.BLOCKS)


def test_a_changed_number_is_noticed():
    path = blocks.ROOT / "configs" / "unpooling" / "block1.py"
    text = path.read_text(encoding="utf-8")
    changed = text.replace("2.741, 125", "2.740, 125")
    assert changed != text
    assert blocks.renew(changed) == text


@pytest.mark.parametrize("path", blocks.cards(), ids=lambda path: path.name)
def test_every_model_card_is_made_from_the_released_file_and_its_index(path):
    assert path.read_text(encoding="utf-8") == blocks.cards()[path]


@pytest.mark.parametrize("name", ["block1", "block2", "block3", "block4"])
def test_model_cards_of_the_package_have_the_same_numbers(name):
    pair = blocks.read_pairs()[name]
    text = (index.PACKAGE / f"vgg19-{name}.md").read_text(encoding="utf-8")
    for metric, form in {"l1": ".3f", "psnr": ".2f", "ssim": ".4f"}.items():
        assert f" {pair['metrics'][metric]['mean']:{form}} " in text
    assert f"{pair['decoder_parameters']:,} parameters" in text
    assert f"{pair['steps']:,} steps" in text


def _results_of(block):
    metric = {"mean": 1.25, "interval": [1.0, 1.5], "photos": 7}
    return {
        "metrics": {name: metric for name in ("l1", "psnr", "ssim", "ms_ssim")},
        "border_ratio": 0.5,
        "training_steps": 10,
        "provenance": {
            "config": {
                "system": "unpooling",
                "encoder": {"block": block},
                "data": {"batch_size": 4, "image_size": 64},
            }
        },
    }


def test_a_new_result_file_is_taken_over(tmp_path, monkeypatch):
    for folder in ("results", "vgg_unpool_jax/releases/packaged"):
        shutil.copytree(blocks.ROOT / folder, tmp_path / folder)
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    before = blocks.read_pairs()
    validations = {"validations": [{"step": 10, "metrics": {"photo_l1": 2.5}}]}
    (tmp_path / "validation.json").write_text(json.dumps(validations))
    for block in (3, 5):
        (tmp_path / "results.json").write_text(json.dumps(_results_of(block)))
        command.add(tmp_path / "results.json")
    after = blocks.read_pairs()
    assert after["block2"] == before["block2"]
    # Those of a released file are in the index, whatever the run measured.
    assert after["block3"]["metrics"] == before["block3"]["metrics"]
    assert after["block3"]["batch_size"] == 4
    assert after["block5"]["hours"] == before["block5"]["hours"]
    text = " ".join(blocks.BLOCKS["block5"]().split())
    assert "| best | 10 steps of 4 crops of 64² | 1.250, 7 COCO photos |" in text
    assert "L1 1.250 (1.000 to 1.500)" in text
    assert "validation photos after 10 steps: 2.50" in text
