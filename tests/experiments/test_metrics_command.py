"""The command `metrics`."""

import json

import numpy as np
import safetensors.numpy
from PIL import Image

from tests.experiments.commands import run_command
from vgg_unpool_jax.pretrained.conversion import save_weights
from vgg_unpool_jax.pretrained.metric_heads import LPIPS_CHANNELS
from vgg_unpool_jax.pretrained.networks import random_network_weights


def test_a_table_and_results_of_the_metrics_whose_weights_are_here(tmp_path):
    save_weights(random_network_weights("alexnet"), tmp_path / "alexnet.safetensors")
    heads = {
        f"alex/lin{k}": np.ones(count, np.float32)
        for k, count in enumerate(LPIPS_CHANNELS["alex"])
    }
    safetensors.numpy.save_file(heads, tmp_path / "heads.safetensors")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        pixels = rng.integers(0, 226, (32, 32, 3), np.uint8)
        for folder, change in (("a", 0), ("b", 30)):
            (tmp_path / folder).mkdir(exist_ok=True)
            picture = Image.fromarray(pixels + np.uint8(change))
            picture.save(tmp_path / folder / f"{name}.png")
    Image.new("RGB", (32, 33)).save(tmp_path / "b" / "three.png")
    done = run_command(
        "metrics",
        f"--a={tmp_path / 'a'}",
        f"--b={tmp_path / 'b'}",
        f"--output={tmp_path / 'out'}",
        ALEXNET_WEIGHTS=str(tmp_path / "alexnet.safetensors"),
        LPIPS_WEIGHTS=str(tmp_path / "heads.safetensors"),
    )
    # One pair cannot be compared: the others are, and the command fails.
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 1 of 3 pairs: ") and "32×32 and 32×33" in last
    assert "note: DISTS left out, without weights on this machine" in done.stdout
    assert "MS-SSIM is left out at 32 x 32 pixels" in done.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metrics"]["l1"] == {"mean": 30, "interval": None, "photos": 2}
    assert set(results["pairs"]) == {"one", "two"}
    assert 0 < results["pairs"]["one"]["lpips"]
    assert results["perceptual_weights"]["lpips"]["network"]["origin"].startswith(
        "random"
    )
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.startswith("| picture | L1 | L2 | PSNR | SSIM | LPIPS |")
