"""NumPy arrays as arrays of the device."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops.placing import on_device, tree_on_device


@pytest.mark.parametrize(("dtype", "rows"), [(None, 7), (np.float32, 8)])
def test_nothing_is_compiled_for_a_shape(caplog, dtype, rows):
    photos = [np.full((rows, side, 5), side, np.uint8) for side in (61, 67)]
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        placed = [on_device(photo, dtype) for photo in photos]
        assert not caplog.records
        jnp.asarray(photos[0])  # what it is there for
    assert "Compiling" in caplog.text
    for photo, array in zip(photos, placed, strict=True):
        assert isinstance(array, jax.Array)
        assert array.dtype == (dtype or np.uint8)
        np.testing.assert_array_equal(array, photo)


def test_the_memory_is_not_shared():
    for _ in range(20):
        photo = np.zeros((64, 64), np.float32)
        array = on_device(photo)
        photo[:] = 1
        assert not array.any()


def test_arrays_of_jax_and_traced_ones_stay():
    array = jnp.arange(3)
    assert on_device(array) is array
    assert on_device(array, np.float32).dtype == np.float32
    found = jax.jit(lambda x: on_device(x) + 1)(array)
    np.testing.assert_array_equal(found, [1, 2, 3])


def test_numbers_have_the_types_of_jax():
    tree = tree_on_device({"a": np.ones(2), "b": [np.int64(3)], "c": 0.5})
    assert tree["a"].dtype == tree["c"].dtype == np.float32
    assert tree["b"][0].dtype == np.int32 and tree["b"][0].shape == ()
