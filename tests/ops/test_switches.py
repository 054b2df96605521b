"""Converters between window codes and foreign switch layouts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg_unpool_jax.nets.vgg19_layers import CHANNELS_PER_BLOCK
from vgg_unpool_jax.ops import (
    codes_to_coordinates,
    codes_to_tensorflow,
    codes_to_torch,
    coordinates_to_codes,
    max_pool_argmax,
    max_unpool,
    tensorflow_to_codes,
    torch_to_codes,
)

SHAPE = (2, 6, 4, 3)


def _codes(shape=SHAPE, window=4, seed=0):
    n, height, width, channels = shape
    size = (n, height // 2, width // 2, channels)
    return np.random.default_rng(seed).integers(0, window, size).astype(np.uint8)


@st.composite
def _geometries(draw):
    window = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    strides = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(4, 9)),
        draw(st.integers(4, 9)),
        draw(st.integers(1, 3)),
    )
    padding = draw(st.sampled_from(["VALID", "SAME"]))
    return shape, window, strides, padding, draw(st.integers(0, 2**31))


@given(_geometries())
def test_flat_layouts_round_trip_and_name_the_maxima(geometry):
    shape, window, strides, padding, seed = geometry
    images = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    pooled, codes = max_pool_argmax(images, window, strides, padding)
    pooled, codes = np.asarray(pooled), np.asarray(codes)
    arguments = (shape, window, strides, padding)
    flat = codes_to_tensorflow(codes, *arguments, include_batch_in_index=True)
    np.testing.assert_array_equal(images.reshape(-1)[flat], pooled)
    np.testing.assert_array_equal(
        tensorflow_to_codes(flat, *arguments, include_batch_in_index=True), codes
    )
    without = codes_to_tensorflow(codes, *arguments)
    np.testing.assert_array_equal(without, flat % np.prod(shape[1:]))
    np.testing.assert_array_equal(tensorflow_to_codes(without, *arguments), codes)
    planes = images.transpose(0, 3, 1, 2).reshape(shape[0], shape[3], -1)
    torch_indices = codes_to_torch(codes, *arguments)
    picked = np.take_along_axis(
        planes, torch_indices.reshape(shape[0], shape[3], -1), axis=2
    )
    np.testing.assert_array_equal(
        picked.reshape(torch_indices.shape), pooled.transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(torch_to_codes(torch_indices, *arguments), codes)


@pytest.mark.parametrize(("pool", "rows"), [(1, 16), (2, 8), (3, 4), (4, 2)])
def test_coordinate_lists_have_the_published_shapes(pool, rows):
    n, height, width = 2, 32, 16
    scale = 2 ** (pool - 1)
    shape = (n, height // scale, width // scale, CHANNELS_PER_BLOCK[pool - 1])
    coordinates = codes_to_coordinates(_codes(shape), shape)
    assert coordinates.shape == (n * height * width * rows, 4)
    assert coordinates.dtype == np.int64


def test_coordinates_scatter_to_the_unpooled_image():
    tf = pytest.importorskip("tensorflow")
    codes = _codes()
    values = np.random.default_rng(1).normal(size=codes.shape).astype(np.float32)
    coordinates = codes_to_coordinates(codes, SHAPE)
    scattered = tf.scatter_nd(coordinates, values.reshape(-1), SHAPE)
    np.testing.assert_array_equal(scattered, max_unpool(values, codes))
    np.testing.assert_array_equal(coordinates_to_codes(coordinates, SHAPE), codes)


def test_coordinates_equal_unravelled_tensorflow_indices():
    codes = _codes()
    flat = codes_to_tensorflow(codes, SHAPE, include_batch_in_index=True)
    expected = np.stack(np.unravel_index(flat.reshape(-1), SHAPE), axis=-1)
    np.testing.assert_array_equal(codes_to_coordinates(codes, SHAPE), expected)


def test_large_images_do_not_overflow():
    # A 70000×70000 plane has more positions than an int32; one pooled value is enough.
    shape = (1, 70_000, 70_000, 1)
    window = (1, 1)
    strides = (69_999, 69_999)
    codes = np.zeros((1, 2, 2, 1), np.uint8)
    flat = codes_to_tensorflow(codes, shape, window, strides)
    assert flat.max() == 70_000**2 - 1
    np.testing.assert_array_equal(
        tensorflow_to_codes(flat, shape, window, strides), codes
    )


def _flat(change=None):
    flat = codes_to_tensorflow(_codes(), SHAPE)
    if change:
        change(flat)
    return flat


def _set(array, position, value):
    array[position] = value
    return array


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda: tensorflow_to_codes(_set(_flat(), (0, 0, 0, 0), -1), SHAPE),
            "1 indices lie outside 0 to 71, the first is -1",
        ),
        (
            lambda: tensorflow_to_codes(_set(_flat(), (0, 0, 0, 0), 1), SHAPE),
            "another channel",
        ),
        (
            lambda: tensorflow_to_codes(_set(_flat(), (0, 0, 0, 0), 6), SHAPE),
            "outside their own 2×2 window, the first at row 0, column 2",
        ),
        (lambda: tensorflow_to_codes(_flat()[:1], SHAPE), r"must have shape \(2, 3"),
        (
            lambda: coordinates_to_codes(
                codes_to_coordinates(_codes(), SHAPE)[1:], SHAPE
            ),
            r"must have shape \(36, 4\), got \(35, 4\)",
        ),
        (
            lambda: coordinates_to_codes(
                _set(codes_to_coordinates(_codes(), SHAPE), (0, 0), 1), SHAPE
            ),
            "another photo",
        ),
        (lambda: codes_to_torch(_codes(window=9), SHAPE), "codes 0 to 3"),
    ],
)
def test_malformed_switches_raise(function, words):
    with pytest.raises(ValueError, match=words):
        function()
