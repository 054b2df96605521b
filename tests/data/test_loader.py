"""What the loader delivers: order, resumption, sharing among processes and readers."""

import itertools

import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import (
    center_crop,
    make_loader,
    make_source,
)
from vgg_unpool_jax.errors import BrokenPhotosError

_TRAINING = {
    "batch_size": 4,
    "image_size": 8,
    "crop": "random",
    "seed": 5,
    "shuffle": True,
    "num_epochs": None,
}
_EVALUATION = _TRAINING | {"shuffle": False, "num_epochs": 1, "crop": "center"}


@pytest.fixture
def source(make_folder):
    """Eleven photos; the batch size of four does not divide an epoch."""
    return make_source(f"folder:{make_folder(11)}")


def _batches(source, count=None, indices=None, **options):
    indices = np.arange(len(source)) if indices is None else indices
    with make_loader(source, indices, **options) as loader:
        return list(itertools.islice(loader, count))


def _assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for one, two in zip(batches, expected, strict=True):
        assert one.keys() == two.keys()
        for key in two:
            np.testing.assert_array_equal(one[key], two[key])
            assert one[key].dtype == two[key].dtype


def test_batches_have_the_promised_form(source):
    for batch in _batches(source, 3, **_TRAINING):
        assert batch["image"].shape == (4, 8, 8, 3)
        assert batch["image"].dtype == np.uint8
        assert batch["index"].shape == (4,) and batch["index"].dtype == np.int32
        assert batch["mask"].shape == (4,) and batch["mask"].dtype == bool
        assert batch["mask"].all()
        assert {type(value) for value in batch.values()} == {np.ndarray}
        # The blue channel of a test photo tells its number.
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 2], batch["index"])


def test_every_epoch_is_a_fresh_permutation(source):
    batches = _batches(source, 11, **_TRAINING)
    epochs = np.concatenate([batch["index"] for batch in batches]).reshape(4, 11)
    for epoch in epochs:
        assert sorted(epoch) == list(range(11))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    again = _batches(source, 11, **_TRAINING)
    _assert_equal(again, batches)


def test_the_seed_decides_order_and_crops(source):
    batches = _batches(source, 6, **_TRAINING)
    others = _batches(source, 6, **_TRAINING | {"seed": 6})
    assert not np.array_equal(
        np.concatenate([batch["index"] for batch in batches]),
        np.concatenate([batch["index"] for batch in others]),
    )

    def corner(batches, number):
        """Where the first crop of photo `number` lies."""
        for batch in batches:
            for image, index in zip(batch["image"], batch["index"], strict=True):
                if index == number:
                    return tuple(image[0, 0])

    corners = [corner(batches, number) for number in range(11)]
    assert corners != [corner(others, number) for number in range(11)]
    assert len({corner[:2] for corner in corners}) > 5


@pytest.mark.parametrize("start", [1, 7])
@pytest.mark.parametrize("options", [{}, {"num_threads": 0}, {"prefetch": 0}])
def test_start_goes_on_where_the_other_run_stopped(source, start, options):
    whole = _batches(source, 9, **_TRAINING)
    rest = _batches(source, 9 - start, start=start, **_TRAINING, **options)
    _assert_equal(rest, whole[start:])


def test_position_is_the_start_of_the_rest(source):
    whole = _batches(source, 9, **_TRAINING)
    with make_loader(source, np.arange(11), start=2, **_TRAINING) as loader:
        assert loader.position == 2
        _assert_equal([next(loader), next(loader)], whole[2:4])
        assert loader.position == 4
        assert loader.num_batches is None
    _assert_equal(_batches(source, 5, start=loader.position, **_TRAINING), whole[4:])


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_share_every_batch(source, process_count):
    whole = _batches(source, 7, **_TRAINING)
    shares = [
        _batches(
            source,
            7,
            process_index=process,
            process_count=process_count,
            **_TRAINING,
        )
        for process in range(process_count)
    ]
    for number, batch in enumerate(whole):
        for process, share in enumerate(shares):
            _assert_equal(
                [share[number]],
                [{key: batch[key][process::process_count] for key in batch}],
            )


def test_another_number_of_processes_may_go_on(source):
    whole = _batches(source, 7, **_TRAINING)
    rest = [
        _batches(source, 4, start=3, process_index=p, process_count=2, **_TRAINING)
        for p in (0, 1)
    ]
    for batch, one, two in zip(whole[3:], *rest, strict=True):
        together = np.concatenate([one["image"], two["image"]])
        assert {image.tobytes() for image in together} == {
            image.tobytes() for image in batch["image"]
        }


def test_numbered_epochs_end(source):
    batches = _batches(source, **_TRAINING | {"num_epochs": 2})
    indices = np.concatenate([batch["index"] for batch in batches])
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert len(batches) == 6
    assert mask.tolist() == [True] * 22 + [False] * 2
    assert np.bincount(indices[mask]).tolist() == [2] * 11
    assert (indices[~mask] == -1).all()


def test_only_the_given_indices_come(source):
    batches = _batches(source, 3, indices=[9, 4, 2], **_TRAINING)
    assert {int(i) for batch in batches for i in batch["index"]} == {2, 4, 9}
    batches = _batches(source, indices=[9, 4, 2], **_EVALUATION)
    assert batches[0]["index"].tolist() == [9, 4, 2, -1]


def test_evaluation_delivers_each_photo_once_in_order(source, make_photo):
    batches = _batches(source, **_EVALUATION)
    assert len(batches) == 3
    indices = np.concatenate([batch["index"] for batch in batches])
    mask = np.concatenate([batch["mask"] for batch in batches])
    images = np.concatenate([batch["image"] for batch in batches])
    assert indices.tolist() == [*range(11), -1]
    assert mask.tolist() == [True] * 11 + [False]
    for number in range(11):
        np.testing.assert_array_equal(
            images[number], center_crop(make_photo(number), 8)
        )
    assert not images[11].any()


@pytest.mark.parametrize("count", [1, 8, 9])
def test_evaluation_by_several_processes_delivers_each_photo_once(source, count):
    shares = [
        _batches(
            source,
            indices=np.arange(count),
            process_index=process,
            process_count=2,
            **_EVALUATION,
        )
        for process in (0, 1)
    ]
    assert len(shares[0]) == len(shares[1]) == -(-count // 4)
    seen = [
        int(index)
        for share in shares
        for batch in share
        for index in batch["index"][batch["mask"]]
    ]
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("start", [1, 3])
def test_evaluation_can_be_resumed_up_to_its_end(source, start):
    whole = _batches(source, **_EVALUATION)
    with make_loader(source, np.arange(11), start=start, **_EVALUATION) as loader:
        assert loader.num_batches == 3
        _assert_equal(list(loader), whole[start:])
        assert loader.position == 3
        assert list(loader) == []
    with pytest.raises(ValueError, match=r"start must be at most 3.* got 4"):
        make_loader(source, np.arange(11), start=4, **_EVALUATION)


def test_too_small_photos_are_named_not_dropped(make_folder, make_photo):
    folder = make_folder(5)
    for number, size in ((1, (7, 30)), (3, (30, 5))):
        Image.fromarray(make_photo(number, *size)).save(folder / f"photo00{number}.png")
    source = make_source(f"folder:{folder}")
    with make_loader(source, np.arange(5), **_EVALUATION) as loader:
        batches = list(loader)
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert mask.tolist() == [True, False, True, False, True, False, False, False]
    assert batches[0]["index"].tolist() == [0, 1, 2, 3]
    assert not batches[0]["image"][[1, 3]].any()
    assert loader.too_small == {"photo001.png": (7, 30), "photo003.png": (30, 5)}
    assert loader.broken == {}


def test_in_training_others_come_for_photos_that_are_too_small(make_folder, make_photo):
    folder = make_folder(5)
    Image.fromarray(make_photo(1, 7, 30)).save(folder / "photo001.png")
    source = make_source(f"folder:{folder}")
    options = _TRAINING | {"crop": "center", "max_broken_share": 0.2}
    with make_loader(source, np.arange(5), **options) as loader:
        batches = list(itertools.islice(loader, 5))
    assert all(batch["mask"].all() for batch in batches)
    numbers = np.concatenate([batch["index"] for batch in batches])
    assert set(numbers.tolist()) == {0, 2, 3, 4}
    assert loader.broken == {
        "photo001.png": "photo photo001.png has 7×30 pixels, too few for a crop center "
        "of 8"
    }
    options["max_broken_share"] = 0.1
    with (
        make_loader(source, np.arange(5), **options) as loader,
        pytest.raises(BrokenPhotosError, match="1 of 5 photos"),
    ):
        list(itertools.islice(loader, 5))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_size": 5, "process_count": 2}, "batch_size 5 .* among 2 processes"),
        ({"image_size": 2.5}, "image_size must be a whole number.* got 2.5"),
        ({"max_broken_share": 1.5}, r"max_broken_share .* \[0, 1\], got 1.5"),
    ],
)
def test_bad_arguments_are_named(source, options, words):
    with pytest.raises(ValueError, match=words):
        make_loader(source, np.arange(11), **_TRAINING | options)


@pytest.mark.real_data
def test_training_on_real_photos(photos_folder):
    source = make_source(f"folder:{photos_folder / 'train'}")
    options = _TRAINING | {"batch_size": 8, "image_size": 192}
    whole = _batches(source, 4, **options)
    assert all(batch["mask"].all() for batch in whole)
    _assert_equal(_batches(source, 2, start=2, **options), whole[2:])
