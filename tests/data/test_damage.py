"""Damages: pixels of OpenCV and Pillow, places of the published programs, draws."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from tests.experiments.commands import run_command
from vgg_unpool_jax.data import make_loader
from vgg_unpool_jax.data.damage import make_damage
from vgg_unpool_jax.errors import ConfigError

MAGENTA = np.array((255, 0, 255))
# Of OpenCV 5.0: the middle row of GaussianBlur(photo, (15, 15), 0) of `_impulses`.
BLURRED_ROW = (
    *(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 5, 6, 6, 6, 5, 3, 2, 1, 1, 1, 1, 2, 3),
    *(5, 6, 6, 6, 5),
)
# The same, the top row.
BLURRED_CORNER = (67, 49, 33, 19, 10, 5, 2, 0, 0, 0)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


def _rng(seed=0):
    return np.random.default_rng(seed)


def _apply(spec, photo, seed=0, **options):
    return make_damage(spec, **options)(photo, _rng(seed)).photo


def _boxes(photo):
    """(x, y, width) of the single magenta squares, which must not touch."""
    from skimage.measure import label, regionprops

    mask = (photo == MAGENTA).all(-1)
    found = []
    for region in regionprops(label(mask)):
        top, left, bottom, right = region.bbox
        assert region.area == (bottom - top) * (right - left) == (right - left) ** 2
        found.append((left, top, right - left))
    return sorted(found)


def _impulses():
    photo = np.zeros((31, 31, 3), np.uint8)
    photo[15, 15] = photo[15, 28] = 255
    photo[0, 0] = 200
    return photo


def test_blur_has_opencvs_pixels():
    blurred = _apply("blur:15", _impulses())
    assert tuple(blurred[15, :, 0]) == BLURRED_ROW
    assert tuple(blurred[0, :10, 1]) == BLURRED_CORNER


def test_damages_equal_opencv(photo):
    cv2 = pytest.importorskip("cv2")
    for size in (3, 7, 15, 31):
        wanted = cv2.GaussianBlur(
            photo, (size, size), 0, borderType=cv2.BORDER_REPLICATE
        )
        np.testing.assert_array_equal(_apply(f"blur:{size}", photo), wanted)
    wanted = cv2.rectangle(photo.copy(), (16, 16), (48, 48), (255, 0, 255), cv2.FILLED)
    np.testing.assert_array_equal(_apply("block:32", photo, is_fixed=True), wanted)
    for quality in (5, 60):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, file = cv2.imencode(".jpg", photo[..., ::-1], options)
        wanted = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(_apply(f"jpeg:{quality}", photo), wanted)


def test_pixelation_and_jpeg_are_pillows(photo):
    image = Image.fromarray(photo)
    small = image.resize((8, 8), Image.Resampling.BICUBIC)
    wanted = np.asarray(small.resize((64, 64), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(_apply("pixelate:8", photo), wanted)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=5)
    damaged = make_damage("jpeg:5")(photo, _rng())
    np.testing.assert_array_equal(damaged.photo, np.asarray(Image.open(file)))
    assert damaged[1:] == (0.0, 5.0)


def test_noise_has_its_deviation_and_can_stay_unclipped():
    grey = np.full((200, 200, 3), 128, np.uint8)
    damaged = make_damage("noise:20")(grey, _rng())
    assert damaged.photo.dtype == np.uint8 and damaged[1:] == (20.0, 100.0)
    # Rounding adds a variance of 1/12.
    errors = damaged.photo - 128.0
    np.testing.assert_allclose(errors.std(), np.sqrt(400 + 1 / 12), rtol=0.01)
    assert abs(errors.mean()) < 0.25
    exact = _apply("noise:125:unclipped", grey)
    assert exact.dtype == np.float32 and exact.min() < -200
    rounded = np.rint(exact).clip(0, 255)
    np.testing.assert_array_equal(_apply("noise:125", grey), rounded)
    # Noises in turn add their variances; a later step sees pixels.
    both = make_damage("noise:3:unclipped+noise:4")(grey, _rng())
    assert both.noise == 5.0 and both.photo.dtype == np.uint8
    assert make_damage("jpeg:5|noise:3:unclipped").dtype == np.float32


def test_squares_of_the_published_evaluation():
    photo = np.zeros((64, 64, 3), np.uint8)
    plain = _boxes(_apply("squares", photo, is_fixed=True))
    assert plain == [(9, 17, 6), (18, 52, 8), (39, 20, 13), (48, 42, 10)]
    # The sum of the first pixel chooses among the mirror images.
    photo[0, 0] = 255
    turned = _boxes(_apply("squares", photo, is_fixed=True))
    assert turned == sorted((64 - w - x, 64 - w - y, w) for x, y, w in plain)
    assert [x for x, *_ in _boxes(_apply("grid", photo, is_fixed=True))] == [
        *(12, 12, 12, 26, 26, 26, 40, 40, 40)
    ]
    assert _boxes(_apply("block:32", photo, is_fixed=True)) == [(16, 16, 33)]


def test_drawn_places_surround_those_of_the_evaluation():
    photo = np.zeros((64, 64, 3), np.uint8)
    blocks = {_boxes(_apply("block:32", photo, seed))[0] for seed in range(60)}
    assert blocks == {(x, y, 33) for x in (15, 16, 17) for y in (15, 16, 17)}
    grids = {_boxes(_apply("grid", photo, seed))[0] for seed in range(60)}
    assert grids == {(x, y, 13) for x in (11, 12, 13) for y in (11, 12, 13)}
    large = np.zeros((128, 128, 3), np.uint8)
    blocks = {_boxes(_apply("block:64", large, seed))[0][0] for seed in range(60)}
    assert blocks == {30, 31, 32, 33, 34}
    areas = [
        (_apply("squares", photo, seed) == MAGENTA).all(-1).sum() for seed in range(50)
    ]
    assert 3 * 25 <= min(areas) and max(areas) <= 4 * 225 and len(set(areas)) > 20


def test_fixed_noise_is_one_of_three_fields():
    photos = np.full((50, 8, 8, 3), 128, np.uint8)
    photos[:, 0, 0] = np.arange(50)[:, None] * 5
    spec = "noise:30:unclipped"
    fields = {
        (_apply(spec, photo, seed, is_fixed=True) - photo)[1:].round(2).tobytes()
        for seed, photo in enumerate(photos)
    }
    assert len(fields) == 3


def test_ranges_and_mixtures_are_drawn(photo):
    mixture = make_damage("noise:0-55|jpeg:10-12")
    drawn = [mixture(photo, _rng(seed))[1:] for seed in range(200)]
    noises = [noise for noise, quality in drawn if quality == 100]
    assert 70 < len(noises) < 130 and min(noises) < 3 and max(noises) > 52
    assert {quality for _, quality in drawn} == {10, 11, 12, 100}
    sizes = {make_damage("blur:3-7").mixture[0][0].draw(_rng(s)) for s in range(30)}
    assert sizes == {3, 5, 7}
    # The same generator draws the same, also after a journey to another process.
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(
        again(photo, _rng(3)).photo, mixture(photo, _rng(3)).photo
    )


def test_steps_follow_each_other_and_leave_the_photo_alone(photo):
    before = photo.copy()
    wanted = _apply("jpeg:20", _apply("blur:5", photo))
    np.testing.assert_array_equal(_apply("blur:5+jpeg:20", photo), wanted)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "it is empty"),
        ("nose:3", "there is no damage 'nose'"),
        ("noise", "noise needs a standard deviation"),
        ("noise:5:clipped", "noise needs"),
        ("noise:9-3", "noise goes from 0 to 255"),
        ("jpeg:0", "jpeg goes from 1 to 100"),
        ("jpeg:2.5", "jpeg needs a whole quality"),
        ("blur:4", "blur needs an odd number"),
        ("grid:3", "grid takes no number"),
        ("noise:5+", "there is no damage ''"),
    ],
)
def test_what_is_no_damage_is_refused(spec, words):
    with pytest.raises(ConfigError, match=words):
        make_damage(spec)


def test_the_command_writes_what_a_network_sees(photo, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(photo[number:]).save(folder / f"{number}.png")
    (folder / "2.jpg").write_bytes(b"no photo")
    output = tmp_path / "damaged"
    flags = (f"--input={folder}", f"--output={output}", "--damage=noise:0-55")
    done = run_command("damage", *flags, "--seed=4")
    assert done.returncode == 1 and "error: 1 of 3 photos" in done.stderr
    mixture = make_damage("noise:0-55")

    class Source(list):
        def name(self, index):
            return str(index)

    with make_loader(
        Source([photo, photo[1:]]),
        np.arange(2),
        batch_size=1,
        image_size=1,
        crop="whole",
        seed=4,
        shuffle=False,
        num_epochs=1,
        make_example=lambda image, rng: {
            "image": image,
            "input": mixture(image, rng).photo,
        },
    ) as loader:
        for number, batch in enumerate(loader):
            with Image.open(output / f"{number}.png") as written:
                np.testing.assert_array_equal(np.asarray(written), batch["input"][0])
