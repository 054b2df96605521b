"""Faces are found, and keep their own colours."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.applications.stylization import faces
from vgg_unpool_jax.applications.stylization.faces import find_faces, keep_faces
from vgg_unpool_jax.systems.unpooling.pair import load_encoder


def test_a_change_of_colour_is_taken_back_by_the_share_and_of_light_less():
    photo = np.full((4, 6, 3), 100.0, np.float32)
    weight = np.zeros((4, 6), np.float32)
    weight[:, 3:] = 1.0
    light = keep_faces(photo, photo + 40, weight, share=0.5)
    np.testing.assert_allclose(light[:, :3], 140)
    np.testing.assert_allclose(light[:, 3:], 126, rtol=1e-6)
    # Of no luma: red up, green down.
    change = 20 * np.array([0.587, -0.299, 0.0], np.float32)
    colour = keep_faces(photo, photo + change, weight, share=0.5)
    np.testing.assert_allclose((colour - photo)[0, 0], change, atol=1e-4)
    np.testing.assert_allclose((colour - photo)[0, 5], change / 2, atol=1e-4)
    with pytest.raises(ValueError, match="share must be in"):
        keep_faces(photo, photo, weight, share=1.5)


def test_the_weight_may_have_another_size():
    photo = np.zeros((8, 8, 3), np.float32)
    weight = np.kron(np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32))
    kept = keep_faces(photo, photo + 10, weight, share=1.0)
    assert kept[0, 0, 0] == pytest.approx(3) and kept[0, 7, 0] == pytest.approx(10)


def _features(found, size=(12, 16)):
    """Features in the direction of faces where `found`, against it elsewhere."""
    weights, _ = faces._weights()
    direction = weights / np.linalg.norm(weights)
    return np.where(found[..., None], direction, -direction).reshape(*size, 512)


def test_cells_that_are_faces_become_a_region_of_the_photo_with_its_skin():
    photo = np.full((192, 256, 3), (60, 110, 160), np.uint8)
    photo[50:110, 50:110] = (200, 150, 120)  # the face
    photo[110:150, 70:90] = (196, 148, 120)  # and a neck
    photo[150:170, 200:240] = (200, 150, 120)  # far away
    cells = np.zeros((12, 16), bool)
    cells[3:7, 3:7] = True
    found = find_faces(_features(cells), photo, covers=(12, 16))
    assert found.shape == (192, 256) and 0 <= found.min() and found.max() <= 1
    assert found[55:105, 55:105].min() > 0.8
    assert found[112:125, 75:85].min() > 0.3
    assert found[150:170, 200:240].max() < 0.02
    assert found[:, 120:].max() < 0.02
    assert find_faces(_features(cells & False), photo, covers=(12, 16)) is None


def test_cells_in_the_padding_are_no_faces():
    cells = np.zeros((12, 16), bool)
    cells[11] = True
    photo = np.full((176, 256, 3), 100, np.uint8)
    assert find_faces(_features(cells), photo, covers=(11, 16)) is None


@pytest.mark.extended
@pytest.mark.real_data
def test_faces_are_found_in_photos_of_people_and_not_in_others(
    vgg19_weights_path, photos_folder
):
    encoder = load_encoder(5, vgg19_weights_path)

    def find(image):
        photo = np.asarray(image, np.float32)
        features = np.asarray(encoder.encode(photo[None])[0][0])
        return find_faces(features, photo, covers=(features.shape[0],) * 2)

    middles = []
    with zipfile.ZipFile(photos_folder / "faces" / "lfw_test.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        for name in names[:24]:
            image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            found = find(image.crop((35, 35, 215, 215)).resize((320, 320)))
            middles.append(0.0 if found is None else found[130:190, 130:190].mean())
    assert np.mean(np.array(middles) > 0.5) >= 0.9
    shares = []
    for path in sorted((photos_folder / "kodak").glob("*.png"))[:8]:  # few people
        found = find(Image.open(path).convert("RGB").resize((320, 320)))
        shares.append(0.0 if found is None else found.mean())
    assert np.median(shares) < 0.02
