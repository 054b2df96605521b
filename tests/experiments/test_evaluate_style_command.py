"""The command `evaluate_style`, on weights that nobody has trained."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_command
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights

_SIDE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One pair with masks, the results of three programs, and weights."""
    folder = tmp_path_factory.mktemp("style")
    save_weights(random_vgg19_weights(0, block=5), folder / "vgg19.safetensors")
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (_SIDE // 4, _SIDE // 4, 3), np.uint8)
    content = noise.repeat(4, axis=0).repeat(4, axis=1)
    style = np.ascontiguousarray(content[::-1, :, ::-1] // 2)
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    mask[:, _SIDE // 2 :] = 255
    pictures = {
        "pairs/content/a.png": content,
        "pairs/style/a.png": style,
        "pairs/style/alone.png": style,
        "pairs/content_segment/a.png": mask,
        "pairs/style_segment/a.png": mask,
        "copies/a.png": content,
        "styles/a.png": style,
        "halves/a.png": content // 2 + style // 2,
    }
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


def _evaluate(folder, results, output):
    return run_command(
        "evaluate_style",
        f"--pairs={folder / 'pairs'}",
        f"--weights={folder / 'vgg19.safetensors'}",
        f"--results={results}",
        f"--output={output}",
    )


@pytest.mark.extended
def test_copies_keep_all_structure_and_the_style_takes_all_style(folder, tmp_path):
    names = "copies", "styles", "halves"
    results = ",".join(f"{name}={folder / name}" for name in names)
    done = _evaluate(folder, results, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "alone has no content: left out" in done.stdout
    facts = json.loads((tmp_path / "results.json").read_text())
    scores = {score["method"]: score for score in facts["scores"]}
    assert sorted(scores) == [
        *("RGB transport", "RGB transport, masks", "Reinhard", "Reinhard, masks"),
        *("content", "copies", "halves", "styles"),
    ]
    for part in ("whole", "regions"):
        for level in "12345":
            taken = {name: scores[name][part][level]["covariance"] for name in scores}
            assert taken["copies"] == taken["content"] == pytest.approx(0, abs=1e-6)
            assert taken["styles"] == pytest.approx(1, abs=1e-6)
            assert taken["halves"] < 0.99
    assert scores["copies"]["edge_ssim"] == pytest.approx(1)
    assert scores["copies"]["sobel_ssim"] == 1
    assert scores["styles"]["lab_distance"] == 0 < scores["halves"]["lab_distance"]
    assert scores["styles"]["edge_ssim"] < scores["halves"]["edge_ssim"] < 0.99
    table = (tmp_path / "table.md").read_text()
    assert all(name in table for name in names)
    for name in ("plot.png", "page.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > _SIDE


def test_what_does_not_fit_is_one_sentence(folder, tmp_path):
    done = _evaluate(folder, "a=nowhere", tmp_path / "out")
    words = "--results has nowhere, which is no folder"
    assert (done.returncode, done.stderr) == (1, f"error: {words}\n")
    assert not (tmp_path / "out").exists()
