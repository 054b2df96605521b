"""Numbers in README.md, docs/, configs/ and model cards are those of results/."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from configs.unpooling import base
from results import blocks, replace
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.systems import train_and_evaluate
from vgg_unpool_jax.systems.unpooling.pair import load_pair
from vgg_unpool_jax.systems.unpooling.release import photos_seen


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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A block-1 run of three steps on tiny photos, and their folder."""
    photos, workdir = (tmp_path_factory.mktemp(name) for name in ("photos", "run"))
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (256, 260, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    config = base.make_config(1, "runlocal")
    config.num_steps = 3
    config.loss.ms_ssim = config.loss.perceptual = 0.0
    config.data.source = f"folder:{photos}"
    config.data.image_size = config.evaluation.image_size = 16
    config.data.stages = ((0.5, 20, 4),)
    config.preparation.image_size = 16
    train_and_evaluate(config, workdir)
    return workdir, photos


@pytest.mark.extended
def test_a_better_decoder_replaces_that_of_the_package(run, tmp_path, monkeypatch):
    workdir, photos = run
    shutil.copytree(blocks.ROOT / "results", tmp_path / "results")
    package = tmp_path / "vgg_unpool_jax" / "releases" / "packaged"
    package.mkdir(parents=True)
    known = json.loads((index.PACKAGE / index.FILE).read_text())
    del known["models"]["vgg19-block1"]
    others = json.dumps(known)
    (package / index.FILE).write_text(others)
    (tmp_path / "README.md").write_text("<!-- results:block1 -->\n\n<!-- /results -->")
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    monkeypatch.setattr(index, "PACKAGE", package)
    test_photos = tmp_path / "test"
    test_photos.mkdir()
    for name in ("0.png", "1.png"):
        shutil.copy(photos / name, test_photos)
    folders = [f"--photos={photos}", f"--test_photos={test_photos}", "--hours=0.5"]
    options = replace.parse([str(workdir), *folders])
    assert replace.replace(options)

    pair = blocks.read_pairs()["block1"]
    assert pair["photos_seen"] == 2 * 2 + 1 * 4  # Python rounds 1.5 to 2
    assert pair["crops"] == ["2 of 16²", "4 of 20²"]
    assert (pair["steps"], pair["stored"], pair["photos"]) == (3, "float16", 2)
    l1 = f"{pair['metrics']['l1']['mean']:.3f}"
    text = (tmp_path / "README.md").read_text()
    crops = "8 crops, 2 of 16², then 4 of 20² a step"
    assert f"| best | {crops} | {l1}, 2 COCO photos |" in text
    assert f"| {l1} | " in (package / "vgg19-block1.md").read_text()

    # A run that starts from the decoder of the package has seen its photos as well.
    run = load_pair(workdir)
    run.config.initialize_from = ""
    run.config.initialize_shared_from = "vgg19-block1"
    assert photos_seen(run) == 8 + 8

    # A release brings its own facts, on other hardware; its time may be unknown.
    hardware = {"platform": "gpu", "device_kind": "Thing"}
    for hours, shown in (
        (0.25, "60 crops, 15 min on one Thing"),
        (None, "60 crops on one Thing"),
    ):
        facts = {"photos_seen": 60, "training_hours": hours}
        facts["training_hardware"] = hardware
        release = tmp_path / "back.safetensors"
        load_pair(workdir).export(release, dtype="float16", facts=facts)
        (package / index.FILE).write_text(others)
        assert replace.replace(replace.parse([str(release), *folders[:2]]))
        assert f"| {shown} |" in blocks.BLOCKS["pairs"]()

    stored = (package / "vgg19-block1.safetensors").read_bytes()
    assert not replace.replace(options)  # equal is not better
    assert (package / "vgg19-block1.safetensors").read_bytes() == stored
