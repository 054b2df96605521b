"""Films that are cut or damaged, and folders with wrong masks, through the commands."""

import numpy as np
import pytest
from PIL import Image

from tests.applications.stylization.test_files import _pair
from tests.applications.stylization.test_video_files import _film
from tests.experiments.commands import run_command
from vgg_unpool_jax.applications.stylization.video_files import open_video

pytestmark = pytest.mark.extended


@pytest.fixture
def flags(tmp_path):
    """A decoder that nobody has trained, and a style."""
    _pair(1).export(tmp_path / "block1.safetensors")
    style = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(style).save(tmp_path / "style.png")
    pair = f"--pairs={tmp_path / 'block1.safetensors'}"
    return pair, f"--style={tmp_path / 'style.png'}"


@pytest.mark.fault("a film is cut or damaged")
def test_what_can_be_read_of_a_film_is_written(tmp_path, flags):
    pytest.importorskip("av", reason="PyAV is not installed")
    film = _film(tmp_path / "film.mkv", range(0, 1200, 40), noise=90)
    data = bytearray(film.read_bytes())
    place, end = len(data) * 3 // 10, len(data) * 8 // 10
    data[place : place + 200] = bytes(200)
    film.write_bytes(data[:end])
    output = tmp_path / "out.mp4"
    done = run_command(
        "stylize_video", f"--content={film}", f"--output={output}", *flags
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {film} is cut or damaged: near 0.")
    assert "of 1.20 s frames are missing" in last
    times = [float(frame.time) for frame in open_video(output).frames()]
    assert f"at {times[-1]:.2f} s" in last
    assert 0.7 < times[-1] < 1.1


@pytest.mark.fault("photos and masks of a folder are wrong")
def test_one_wrong_photo_or_mask_does_not_stop_the_others(tmp_path, flags):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for folder in (photos, masks):
        folder.mkdir()
    photo = Image.fromarray(np.zeros((40, 56, 3), np.uint8) + np.uint8([90, 40, 160]))
    for name in "abcd":
        photo.save(photos / f"{name}.png")
    (photos / "0.jpg").write_bytes(b"\xff\xd8\xff")
    for name, size in {"0": (56, 40), "a": (56, 40), "b": (9, 40)}.items():
        Image.new("L", size).save(masks / f"{name}.png")
    (masks / "a.json").write_text("of labelme, beside the mask")
    (masks / "c.png").write_bytes(b"\x89PNG")
    done = run_command(
        "stylize",
        *(f"--content={photos}", f"--content_mask={masks}", *flags),
        *(f"--output={tmp_path / 'out'}", "--grid"),
        *("--alpha=0.7", "--strengths=1:0.5", "--transform=ot", "--keep_faces=0"),
        f"--save_style={tmp_path / 's.safetensors'}",
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: 4 of 5 photos") and "Traceback" not in done.stderr
    # A broken photo; masks of another shape, damaged, missing.
    assert all(name in last for name in ("0.jpg", "b.png is", "c.png is", "for d.png"))
    assert "[2/5]" in done.stdout and "peak memory" in done.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "a_grid.png"}
    with Image.open(tmp_path / "out/a.png") as picture:
        assert picture.size == (56, 40)
    assert (tmp_path / "s.safetensors").exists()
