"""The command that classifies codes."""

import numpy as np
import pytest
from PIL import Image

from configs.deepsim import autoencoder
from tests.experiments.commands import run_command
from vgg_unpool_jax.systems import train_and_evaluate


@pytest.mark.extended
def test_codes_tell_dark_from_bright_photos(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label, level in (("dark", 60), ("bright", 190)):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for number in range(8):
                noise = rng.normal(level, 20, (70, 80, 3)).clip(0, 255)
                image = Image.fromarray(noise.astype(np.uint8))
                image.save(folder / f"{number}.png")
    run = tmp_path / "run"
    train_and_evaluate(autoencoder.get_config("squared_error,runlocal"), run)
    photos = [f"--{x}_photos=folder:{tmp_path / x}" for x in ("train", "test")]
    done = run_command("classify", *photos, run)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if " 1.000" in line]
    assert len(rows) == 2 and "2 classes: 0.5" in done.stdout
    refused = run_command("classify", photos[0], "--test_photos=samples", run)
    assert refused.returncode == 1 and "no labels" in refused.stderr
