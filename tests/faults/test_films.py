"""Films that are cut or damaged, through the command."""

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.test_files import _pair
from tests.applications.stylization.test_video_files import _film
from tests.experiments.conftest import run_command
from vgg_unpool_jax.applications.stylization.video_files import open_video

pytest.importorskip("av", reason="PyAV is not installed")


@pytest.mark.fault("a film is cut or damaged")
def test_what_can_be_read_of_a_film_is_written(tmp_path):
    _pair(1).export(tmp_path / "block1.safetensors")
    style = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(style).save(tmp_path / "style.png")
    film = _film(tmp_path / "film.mkv", range(0, 1200, 40), noise=90)
    data = bytearray(film.read_bytes())
    place, end = len(data) * 3 // 10, len(data) * 8 // 10
    data[place : place + 200] = bytes(200)
    film.write_bytes(data[:end])
    done = run_command(
        "stylize_video",
        f"--content={film}",
        f"--style={tmp_path / 'style.png'}",
        f"--output={tmp_path / 'out.mp4'}",
        f"--pairs={tmp_path / 'block1.safetensors'}",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {film} is cut or damaged: near 0.")
    assert "of 1.20 s frames are missing" in last
    times = [float(frame.time) for frame in open_video(tmp_path / "out.mp4").frames()]
    assert f"at {times[-1]:.2f} s" in last
    assert 0.7 < times[-1] < 1.1
