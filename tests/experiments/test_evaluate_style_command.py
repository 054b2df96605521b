"""The command `evaluate_style`, on weights that nobody has trained."""

import json
import shutil

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
        "pairs/target/a.png": style + np.uint8(10),
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
    beside = {name: scores[name]["target"]["psnr"] for name in scores}
    assert beside["styles"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-3)
    assert beside["styles"] > beside["halves"] > beside["copies"]
    table = (tmp_path / "table.md").read_text()
    ssim = scores["styles"]["target"]["ssim"]
    assert f"| styles | 1 | {beside['styles']:.2f} | {ssim:.4f} |" in table
    assert all(name in table for name in names)
    for name in ("plot.png", "page.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > _SIDE


def test_what_does_not_fit_is_one_sentence(folder, tmp_path):
    done = _evaluate(folder, "a=nowhere", tmp_path / "out")
    words = "--results has nowhere, which is no folder"
    assert (done.returncode, done.stderr) == (1, f"error: {words}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.extended
@pytest.mark.real_data
def test_a_look_is_measured_on_two_places_of_one_photo(
    vgg19_weights_path, photos_folder, tmp_path
):
    photo = next(photos_folder.rglob("*.jpg"))
    (tmp_path / "photos").mkdir()
    shutil.copy(photo, tmp_path / "photos" / "a.jpg")
    done = run_command(
        "evaluate_style",
        "--self_reference",
        f"--photos={tmp_path / 'photos'}",
        "--looks=faithful",
        "--auto_regions=0",
        f"--weights={vgg19_weights_path}",
        f"--output={tmp_path / 'out'}",
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "results.json").read_text())
    scores = {score["method"]: score for score in facts["scores"]}
    assert sorted(scores) == ["RGB transport", "Reinhard", "content", "faithful"]
    assert scores["faithful"]["seconds"] > 0 and scores["content"]["seconds"] is None
    ours, start = scores["faithful"], scores["content"]
    assert ours["target"]["psnr"] != start["target"]["psnr"]
    assert ours["lab_distance"] < start["lab_distance"]
    with Image.open(tmp_path / "out" / "results" / "faithful" / "a.png") as result:
        with Image.open(tmp_path / "out" / "pairs" / "target" / "a.png") as target:
            assert result.size == target.size
