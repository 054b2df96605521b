"""Flags without an effect beside the others get a note, before the work."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_command

# Regions are looked for if nothing else is said.
_WHY_NO_MASK = {
    "stylize": ["--auto_regions finds the regions of both photos"],
    "stylize_video": ["films have no masks"],
    "edit": [],
    "pairs": [],
    "rate_distortion": [],
}


@pytest.fixture
def folder(tmp_path):
    for name in ("photo.png", "style.png", "mask.png", "frames/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / name)
    return tmp_path


def _noted(folder, command, *arguments):
    """The flags that notes name; the command ends where it looks for its model."""
    done = run_command(command, *(one.format(folder) for one in arguments))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "missing" in done.stderr.splitlines()[-1]
    found = re.findall(r"^note: --(\w+) has no effect: (.*)$", done.stdout, re.M)
    assert dict(found).get("style_mask") in (None, *_WHY_NO_MASK[command])
    return {name for name, _ in found}


@pytest.mark.parametrize(
    ("line", "noted"),
    [
        (
            "stylize --content={0}/photo.png --output={0}/o.png --style={0}/style.png "
            "--pairs={0}/missing.safetensors --style_mask={0}/mask.png --quality=90 "
            "--format=.jpg --style_shares=2 --tile=512 --model=other",
            "style_mask quality format style_shares model",
        ),
        (
            "stylize_video --content={0}/frames --output={0}/out --style={0}/style.png "
            "--pairs={0}/missing.safetensors --style_mask={0}/mask.png --quality=20 "
            "--rate=24 --nosound --smoothing=none --steadiness=3 --cut=0.2",
            "style_mask rate quality sound steadiness",
        ),
        pytest.param(
            "edit --input={0}/photo.png --output={0}/o.png --edit=drop --count=2 "
            "--pair={0}/missing.safetensors --steps=3 --factors=1,2 --switches=nearest",
            "steps factors switches",
            marks=pytest.mark.extended,
        ),
        (
            "rate_distortion --codec={0}/missing.safetensors --output={0}/out "
            "--photos=folder:{0} --image_size=64",
            "image_size",
        ),
        pytest.param(
            "pairs show missing --dtype=int8 --licence=MIT --source=samples",
            "dtype licence source",
            marks=pytest.mark.extended,
        ),
    ],
    ids=["photos", "film", "edit", "codec", "pairs"],
)
def test_a_flag_without_effect_is_noted(folder, line, noted):
    command, *arguments = line.split()
    assert _noted(folder, command, *arguments) == set(noted.split())
