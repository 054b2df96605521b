"""compress and decompress from the command line."""

import numpy as np
import pytest
from PIL import Image

from configs.codec import faces, photos
from tests.experiments.commands import run_command


@pytest.mark.parametrize(
    "codec", [pytest.param(faces, marks=pytest.mark.extended), photos], indirect=True
)
def test_photos_are_compressed_and_decoded(tmp_path, codec, photo):
    path = tmp_path / "codec-small.safetensors"
    codec.export(path)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(photo).save(photos / "a.png")
    Image.fromarray(photo[..., 0]).save(photos / "grey.png")
    run = run_command(
        "compress", f"--codec={path}", f"--input={photos}", f"--output={tmp_path / 'c'}"
    )
    assert run.returncode == 0, run.stderr
    size = (tmp_path / "c/a.vuc").stat().st_size
    assert f"{size:,} bytes, {8 * size / (43 * 70):.3f} bits per pixel" in run.stdout
    (tmp_path / "c/b.vuc").write_bytes(b"")
    run = run_command(
        "decompress",
        f"--codec={path}",
        f"--input={tmp_path / 'c'}",
        f"--output={tmp_path / 'd'}",
    )
    assert run.returncode == 1
    assert "b.vuc is no compressed photo of this program: it is empty" in run.stderr
    decoded = np.asarray(Image.open(tmp_path / "d/a.png"))
    np.testing.assert_array_equal(decoded, codec.decompress(codec.compress(photo)))
    grey = np.asarray(Image.open(tmp_path / "d/grey.png"))
    assert grey.ndim == 2 or (grey == grey[..., :1]).all()
    assert not (tmp_path / "d/b.png").exists()
