"""The report of reconstructions side by side, on real photos."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_module
from vgg_unpool_jax.data import make_source
from vgg_unpool_jax.data.crops import cut_photo
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.systems import load_trained

pytestmark = pytest.mark.extended
_MODELS = ("autoencoder-deepsim", "invert-alexnet-conv1")


@pytest.mark.real_data
def test_the_report_has_what_the_models_make(
    perceptual_weights, photos_folder, tmp_path
):
    folder, report = tmp_path / "photos", tmp_path / "report"
    folder.mkdir()
    for path in sorted((photos_folder / "coco_test").iterdir())[:3]:
        shutil.copy(path, folder)
    done = run_module(
        "benchmarks.inversion",
        f"--photos=folder:{folder}",
        f"--model={','.join(_MODELS)}",
        f"--output={report}",
    )
    assert done.returncode == 0, done.stderr
    lines = (report / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(_MODELS)
    results = json_file.read(report / "results.json")["results"]
    source = make_source(f"folder:{folder}")
    photos = [cut_photo(source[i], "center_resize", 64) for i in range(3)]
    for name in _MODELS:
        model = load_trained(name)
        found = [np.clip(model.reconstruct_photo(p), 0, 255).round() for p in photos]
        errors = [np.mean((a - b) ** 2) for a, b in zip(found, photos, strict=True)]
        wanted = np.mean(10 * np.log10(255**2 / np.array(errors)))
        assert results[name]["psnr"]["mean"] == pytest.approx(wanted, abs=1e-3)
        assert 0 < results[name]["image_error"] < 1
    with Image.open(report / "page.png") as page:
        assert page.width > 3 * 128  # photo and two models
    assert (report / "spectrum.png").stat().st_size > 1000


def test_models_of_one_name_are_refused_before_anything_is_read(tmp_path):
    done = run_module(
        "benchmarks.inversion",
        "--photos=folder:nowhere",
        "--model=one/run,other/run",
        f"--output={tmp_path / 'report'}",
    )
    assert done.returncode == 1
    assert "must have different last names, got ['run', 'run']" in done.stderr
