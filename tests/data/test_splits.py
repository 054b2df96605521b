"""The photos that a config names: to train, to validate and to test on."""

import ml_collections
import numpy as np
import pytest

from vgg_unpool_jax.data import SPLITS, make_source, open_splits, split_indices
from vgg_unpool_jax.data.split import split_groups
from vgg_unpool_jax.data.splits import read_identities
from vgg_unpool_jax.errors import ConfigError, SourceError


def _config(source, **fields):
    return ml_collections.ConfigDict(
        {
            "source": str(source),
            "validation_source": "",
            "split_fractions": (0.5, 0.3, 0.2),
            "split_seed": 4,
            **fields,
        }
    )


def _names(part):
    return [part.source.name(int(index)) for index in part.indices]


def test_one_source_is_split_among_the_parts(make_folder):
    folder = make_folder(10)
    parts = open_splits(_config(f"folder:{folder}"))
    assert tuple(parts) == SPLITS == ("train", "validation", "test")
    split = split_indices(10, (0.5, 0.3, 0.2), seed=4)
    for name, part in parts.items():
        np.testing.assert_array_equal(part.indices, getattr(split, name))
        assert part.source is parts["train"].source
    names = [name for part in parts.values() for name in _names(part)]
    assert sorted(names) == [f"photo{number:03d}.png" for number in range(10)]


def test_all_photos_of_a_validation_source_are_validated_on(make_folder):
    train, validation = make_folder(6), make_folder(3, name="others")
    parts = open_splits(
        _config(
            f"folder:{train}",
            validation_source=f"folder:{validation}",
            split_fractions=(1.0, 0.0, 0.0),
        )
    )
    assert repr(parts["validation"].source) == f"folder {validation}"
    np.testing.assert_array_equal(parts["validation"].indices, [0, 1, 2])
    assert parts["validation"].indices.dtype == np.int64
    assert repr(parts["train"].source) == f"folder {train}"
    assert sorted(parts["train"].indices) == [0, 1, 2, 3, 4, 5]
    assert len(parts["test"].indices) == 0


def test_the_test_part_stays_that_of_the_training_source(make_folder):
    train, validation = make_folder(10), make_folder(3, name="others")
    alone = open_splits(_config(f"folder:{train}"))
    parts = open_splits(
        _config(f"folder:{train}", validation_source=f"folder:{validation}")
    )
    for name in ("train", "test"):
        np.testing.assert_array_equal(parts[name].indices, alone[name].indices)
        assert _names(parts[name]) == _names(alone[name])


def test_a_config_older_than_the_field_is_split(make_folder):
    config = _config(f"folder:{make_folder(10)}")
    with_field = open_splits(config)
    del config.validation_source
    for name, part in open_splits(config).items():
        np.testing.assert_array_equal(part.indices, with_field[name].indices)


@pytest.mark.parametrize("field", ["source", "validation_source"])
def test_a_source_that_is_not_there_is_named(field, make_folder, tmp_path):
    config = _config(f"folder:{make_folder(2)}")
    config[field] = f"folder:{tmp_path / 'nowhere'}"
    with pytest.raises(SourceError, match=r"nowhere does not exist"):
        open_splits(config)


def test_fractions_that_make_no_split_are_refused(make_folder):
    config = _config(f"folder:{make_folder(2)}", split_fractions=(0.9, 0.2, 0.1))
    with pytest.raises(ValueError, match="sum to 1"):
        open_splits(config)


def test_validating_on_the_training_photos_is_refused(make_folder):
    source = f"folder:{make_folder(3)}"
    config = _config(source, validation_source=f"{source}/")
    with pytest.raises(ConfigError, match=r"both hold folder .*: training photos wou"):
        open_splits(config)


def test_a_photo_of_training_is_not_validated_on_under_another_name(
    make_folder, tmp_path
):
    train, other = make_folder(3), make_folder(2, name="others")
    link = tmp_path / "link"
    link.symlink_to(train, target_is_directory=True)
    (train / "inner").mkdir()
    (train / "photo001.png").rename(train / "inner" / "photo001.png")
    for source, validation in (
        (train, link),
        (train, train / "inner"),
        (f"{train},folder:{other}", other),
    ):
        config = _config(f"folder:{source}", validation_source=f"folder:{validation}")
        with pytest.raises(ConfigError, match=r"both hold .*png: training photos wou"):
            open_splits(config)
    with pytest.raises(SourceError, match=r"names .*photo001.png twice"):
        make_source(f"folder:{train},folder:{train / 'inner'}")
    open_splits(_config(f"folder:{train}", validation_source=f"folder:{other}"))


def test_people_are_split_instead_of_their_photos(make_folder, tmp_path):
    folder, file = make_folder(12), tmp_path / "identities.txt"
    people = {f"photo{n:03d}.png": str(n % 5) for n in range(12)}
    file.write_text("".join(f"{name} {who}\n" for name, who in people.items()))
    config = _config(f"folder:{folder}", identities=str(file))
    parts = open_splits(config)
    seen = [{people[name] for name in _names(part)} for part in parts.values()]
    # Five people: 2, 2 and 1.
    assert sorted(map(len, seen)) == [1, 2, 2] and len(set.union(*seen)) == 5
    assert sum(len(part.indices) for part in parts.values()) == 12
    file.write_text("photo000.png 1\n")
    with pytest.raises(ConfigError, match=r"nobody for 11 of the 12 photos.*photo001"):
        open_splits(config)
    file.write_text("photo000.png\n")
    with pytest.raises(ConfigError, match="cannot be read as lines"):
        open_splits(config)


@pytest.mark.real_data
def test_real_faces_are_split_by_people(photos_folder):
    faces = photos_folder / "faces"
    source = make_source(f"zip:{faces / 'celeba_train.zip'}")
    people = np.array(
        read_identities(faces / "celeba_train_identities.txt", source), dtype=object
    )
    assert len(people) == 3500 and len(set(people)) == 1880
    split = split_groups(people, (0.8, 0.1, 0.1), seed=0)
    train, validation, test = (set(people[part]) for part in split)
    assert not train & validation and not train & test and not validation & test
    assert [len(train), len(validation), len(test)] == [1504, 188, 188]
