"""Crop specs: which are known, what each cuts, and the loader with each."""

import itertools
import pickle

import numpy as np
import pytest

from vgg_unpool_jax.data import (
    CROPS,
    center_crop,
    center_square_resize,
    check_crop,
    make_crop,
    make_loader,
    make_source,
    padded_center_resize,
    random_crop,
    random_square_resize,
)

_SPECS = ["center_resize", "center_resize:20", "random", "random_resize:0.5", "center"]
_RANDOM = ["random", "random_resize:0.5"]
_TRAINING = {
    "batch_size": 4,
    "image_size": 8,
    "seed": 5,
    "shuffle": True,
    "num_epochs": None,
}
_EVALUATION = _TRAINING | {"shuffle": False, "num_epochs": 1}


@pytest.fixture
def source(make_folder):
    return make_source(f"folder:{make_folder(11)}")


def _read(source, count=None, **options):
    with make_loader(source, np.arange(len(source)), **options) as loader:
        return list(itertools.islice(loader, count)), loader


def _images(batches):
    return np.concatenate([batch["image"] for batch in batches])


def _rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    "spec, transform",
    [
        ("center_resize", lambda photo: center_square_resize(photo, 8)),
        ("center_resize:20", lambda photo: padded_center_resize(photo, 8, side=20)),
        ("random", lambda photo: random_crop(photo, 8, _rng())),
        (
            "random_resize:0.5",
            lambda photo: random_square_resize(photo, 8, _rng(), least_share=0.5),
        ),
        ("center", lambda photo: center_crop(photo, 8)),
    ],
)
def test_a_spec_names_its_transform(make_photo, spec, transform):
    photo = make_photo(4)
    crop = make_crop(spec, 8)
    assert crop.is_random == (spec in _RANDOM)
    copy = pickle.loads(pickle.dumps(crop))
    assert copy == crop
    for one in (crop, copy):
        np.testing.assert_array_equal(one.cut(photo, _rng()), transform(photo))


@pytest.mark.parametrize("spec", _SPECS)
def test_only_the_centre_in_native_size_has_photos_it_does_not_fit(spec):
    crop = make_crop(spec, 8)
    assert crop.fits((8, 9, 3)) and crop.fits((30, 8, 3))
    assert crop.fits((7, 30, 3)) == crop.fits((30, 7, 3)) == (spec != "center")


@pytest.mark.parametrize(
    "spec",
    [
        "center_resize:1",
        "center_resize:375",
        "random_resize:1",
        "random_resize:1.0",
        "random_resize:.25",
        "random_resize:1e-3",
    ],
)
def test_numbers_in_range_are_read(spec):
    crop = make_crop(spec, 4)
    assert crop.number == float(spec.partition(":")[2])
    check_crop(spec, allow_random=True)


_MALFORMED = [
    *("middle", None, "center_resize:0", "center_resize:٣", "center_resize:1_0"),
    *("random_resize", "random_resize:1.01", "random_resize:nan", "center:3"),
]


@pytest.mark.parametrize("spec", _MALFORMED, ids=lambda spec: repr(spec)[:30])
def test_a_malformed_spec_lists_the_known_forms(source, spec):
    for refuse in (
        lambda: make_crop(spec, 8),
        lambda: check_crop(spec, allow_random=True),
        lambda: make_loader(source, np.arange(11), crop=spec, **_TRAINING),
    ):
        with pytest.raises(ValueError, match=r"^crop must be one of ") as error:
            refuse()
        message = str(error.value)
        assert message.endswith(f", got {spec!r}")
        for form in CROPS:
            assert form in message
        assert "PIXELS a whole number, at least 1" in message
        assert "SHARE a number in (0, 1]" in message


@pytest.mark.parametrize("spec", _SPECS)
def test_evaluation_takes_every_crop_that_is_not_random(spec):
    if spec not in _RANDOM:
        check_crop(spec, allow_random=False)
        return
    with pytest.raises(ValueError) as error:
        check_crop(spec, allow_random=False, name="evaluation.crop")
    message = str(error.value)
    assert message.startswith("evaluation.crop must be one of center_resize, ")
    assert message.endswith(f", got {spec!r}, which is random")
    assert "SHARE" not in message


@pytest.mark.parametrize("options", [_TRAINING, _EVALUATION])
def test_the_loader_cuts_padded_centres(make_photo, make_folder, options):
    """Photos of 24 x 32 pixels in a square of 30: black above and below."""
    source = make_source(f"folder:{make_folder(5)}")
    batches, loader = _read(source, 2, crop="center_resize:30", **options)
    for batch in batches:
        for place in np.flatnonzero(batch["mask"]):
            photo = make_photo(int(batch["index"][place]))
            expected = padded_center_resize(photo, 8, side=30)
            np.testing.assert_array_equal(batch["image"][place], expected)
    assert loader.too_small == {}
    assert sum(batch["mask"].sum() for batch in batches) >= 5


def test_draws_of_random_resize_depend_on_seed_and_place_alone(source):
    options = _TRAINING | {"crop": "random_resize:0.5"}
    whole, _ = _read(source, 9, **options)
    for variant in ({"num_threads": 0}, {"num_threads": 4}, {"prefetch": 0}):
        again, _ = _read(source, 9, **options, **variant)
        np.testing.assert_array_equal(_images(again), _images(whole))
    rest, _ = _read(source, 5, start=4, **options)
    np.testing.assert_array_equal(_images(rest), _images(whole[4:]))
    share, _ = _read(source, 9, process_index=1, process_count=2, **options)
    np.testing.assert_array_equal(_images(share), _images(whole)[1::2])
    other, _ = _read(source, 9, **options | {"seed": 6})
    assert not np.array_equal(_images(other), _images(whole))


def test_other_photos_at_the_same_place_are_cut_in_the_same_square(make_folder):
    """Photos that differ in one constant channel: the draw does not see the photo."""
    source = make_source(f"folder:{make_folder(6)}")
    options = _EVALUATION | {"crop": "random_resize:0.3", "num_epochs": 1}
    images = []
    for indices in ([0, 1, 2, 3], [5, 4, 0, 1]):
        with make_loader(source, indices, **options) as loader:
            images.append(next(loader)["image"])
    np.testing.assert_array_equal(images[0][..., :2], images[1][..., :2])
    assert images[0][:, 0, 0, 2].tolist() == [0, 1, 2, 3]
    assert images[1][:, 0, 0, 2].tolist() == [5, 4, 0, 1]
    assert len({image[..., :2].tobytes() for image in images[0]}) == 4
