"""Pooling with switches and unpooling against NumPy loops, TensorFlow and torch."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from vgg_unpool_jax.ops import (
    codes_to_tensorflow,
    codes_to_torch,
    max_pool_argmax,
    max_unpool,
)

# (image height, width, window, strides, padding): disjoint, overlapping, gaps, odd.
GEOMETRIES = [
    (8, 6, (2, 2), (2, 2), "VALID"),
    (9, 7, (2, 2), (2, 2), "VALID"),
    (9, 7, (2, 2), (2, 2), "SAME"),
    (9, 9, (3, 3), (3, 3), "VALID"),
    (10, 11, (3, 3), (2, 2), "VALID"),
    (10, 11, (3, 3), (2, 2), "SAME"),
    (11, 8, (3, 2), (2, 3), ((1, 1), (1, 0))),
    (7, 9, (2, 2), (3, 3), "VALID"),
    (5, 6, (1, 3), (1, 2), ((0, 0), (2, 2))),
    (6, 6, (4, 4), (1, 1), ((3, 0), (0, 3))),
]


def _images(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def _pads(size, extent, stride, padding, axis):
    if padding == "VALID":
        return 0, 0
    if padding == "SAME":
        total = max((int(np.ceil(size / stride)) - 1) * stride + extent - size, 0)
        return total // 2, total - total // 2
    return padding[axis]


def _slow_pool(images, window, strides, padding):
    """One loop a window, one comparison an element: the definition itself."""
    n, height, width, channels = images.shape
    top, bottom = _pads(height, window[0], strides[0], padding, 0)
    left, right = _pads(width, window[1], strides[1], padding, 1)
    rows = (height + top + bottom - window[0]) // strides[0] + 1
    columns = (width + left + right - window[1]) // strides[1] + 1
    pooled = np.zeros((n, rows, columns, channels), images.dtype)
    codes = np.zeros(pooled.shape, np.uint8)
    for photo, i, j, channel in np.ndindex(*pooled.shape):
        best = None
        for code in range(window[0] * window[1]):
            y = i * strides[0] - top + code // window[1]
            x = j * strides[1] - left + code % window[1]
            if not (0 <= y < height and 0 <= x < width):
                continue
            value = images[photo, y, x, channel]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best = value
                codes[photo, i, j, channel] = code
        pooled[photo, i, j, channel] = best
    return pooled, codes


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pool_equals_the_definition(geometry):
    height, width, *arguments = geometry
    # Few distinct values, so that ties are everywhere.
    images = np.random.default_rng(1).integers(-2, 2, (2, height, width, 3))
    images = images.astype(np.float32)
    pooled, switches = max_pool_argmax(images, *arguments)
    expected, codes = _slow_pool(images, *arguments)
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(switches, codes)
    assert switches.dtype == jnp.uint8


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_unpool_writes_each_value_to_its_place(geometry):
    height, width, window, strides, padding = geometry
    images = _images((2, height, width, 3))
    pooled, switches = max_pool_argmax(images, window, strides, padding)
    unpooled = max_unpool(
        pooled, switches, window, strides, padding, output_shape=images.shape
    )
    expected = np.zeros_like(images)
    flat = codes_to_tensorflow(
        switches, images.shape, window, strides, padding, include_batch_in_index=True
    )
    np.add.at(expected.reshape(-1), flat.reshape(-1), np.asarray(pooled).reshape(-1))
    np.testing.assert_allclose(unpooled, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_dtypes_are_kept(dtype):
    images = jnp.asarray(_images((1, 4, 4, 2)), dtype)
    pooled, switches = max_pool_argmax(images)
    assert pooled.dtype == dtype
    assert max_unpool(pooled, switches).dtype == dtype
    np.testing.assert_array_equal(
        pooled, np.asarray(images).reshape(1, 2, 2, 2, 2, 2).max((2, 4))
    )


def test_two_by_two_path_has_no_scatter():
    images = jnp.asarray(_images((1, 8, 8, 2)))

    def there_and_back(images):
        return max_unpool(*max_pool_argmax(images)).sum()

    text = str(jax.make_jaxpr(jax.grad(there_and_back))(images))
    assert "scatter" not in text
    assert "gather" not in text


def test_first_maximum_wins_ties():
    images = jnp.ones((1, 2, 2, 1))
    assert int(max_pool_argmax(images)[1].item()) == 0
    images = jnp.array([[0.0, 3.0], [3.0, 3.0]]).reshape(1, 2, 2, 1)
    assert int(max_pool_argmax(images)[1].item()) == 1


@pytest.mark.parametrize("window", [(2, 2), (3, 3)])
def test_first_nan_of_a_window_is_its_maximum(window):
    images = np.zeros((1, *window, 1), np.float32)
    images[0, 0, 1] = 5.0
    images[0, 1, 0] = images[0, 1, 1] = np.nan
    pooled, switches = max_pool_argmax(images, window, window)
    assert np.isnan(pooled.item())
    assert int(switches.item()) == window[1]  # row 1, column 0


def test_padding_is_never_chosen():
    images = np.full((1, 3, 3, 2), -np.inf, np.float32)
    pooled, switches = max_pool_argmax(images, (3, 3), (2, 2), ((2, 2), (2, 2)))
    assert np.all(np.asarray(pooled) == -np.inf)
    codes_to_tensorflow(switches, images.shape, (3, 3), (2, 2), ((2, 2), (2, 2)))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_equal_finite_differences(geometry):
    height, width, window, strides, padding = geometry
    # Distinct values far apart: no step of the differences changes a maximum.
    size = height * width
    images = np.random.default_rng(2).permutation(size).reshape(1, height, width, 1)
    images = jnp.asarray(images, jnp.float32)
    _, switches = max_pool_argmax(images, window, strides, padding)

    def pool(images):
        return max_pool_argmax(images, window, strides, padding)[0]

    def unpool(values):
        return max_unpool(
            values, switches, window, strides, padding, output_shape=images.shape
        )

    check_grads(pool, (images,), order=1, modes=["rev"], eps=0.1, atol=1e-2, rtol=1e-2)
    values = jnp.asarray(_images(switches.shape))
    # Twice: the gradient of unpooling is the pick, whose own gradient is unpooling.
    check_grads(unpool, (values,), order=2, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_unpool_is_the_transpose_of_its_gradient():
    values, images = jnp.asarray(_images((2, 4, 4, 3))), _images((2, 8, 8, 3), 1)
    switches = max_pool_argmax(_images((2, 8, 8, 3), 2))[1]
    unpooled, transpose = jax.vjp(lambda v: max_unpool(v, switches), values)
    (picked,) = transpose(jnp.asarray(images))
    np.testing.assert_allclose(
        np.vdot(unpooled, images), np.vdot(values, picked), rtol=1e-5
    )


@pytest.mark.parametrize("window", [(2, 2), (3, 3)])
def test_codes_outside_the_window_raise_or_write_nothing(window):
    values = jnp.ones((1, 2, 2, 1))
    elements = window[0] * window[1]
    switches = jnp.full((1, 2, 2, 1), elements, jnp.uint8)
    with pytest.raises(ValueError, match=f"code {elements}.*0 to {elements - 1}"):
        max_unpool(values, switches, window, window)
    jitted = jax.jit(lambda v, s: max_unpool(v, s, window, window))
    np.testing.assert_array_equal(jitted(values, switches), 0.0)
    np.testing.assert_array_equal(jitted(values, jnp.full_like(switches, 255)), 0.0)


def test_code_that_points_into_padding_writes_nothing():
    switches = jnp.zeros((1, 1, 1, 1), jnp.uint8)
    image = max_unpool(
        jnp.ones((1, 1, 1, 1)),
        switches,
        padding=((1, 0), (1, 0)),
        output_shape=(1, 1),
    )
    np.testing.assert_array_equal(image, 0.0)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: max_pool_argmax(np.zeros((1, 4, 4, 3), np.int32)), "float dtype"),
        (
            lambda: max_pool_argmax(np.zeros((1, 40, 40, 1), np.float32), (17, 17)),
            "289 elements",
        ),
        (
            lambda: max_unpool(
                np.zeros((1, 2, 2, 1), np.float32), np.zeros((1, 2, 3, 1), np.uint8)
            ),
            r"\(1, 2, 2, 1\), got \(1, 2, 3, 1\)",
        ),
        (
            lambda: max_unpool(
                np.zeros((1, 2, 2, 1), np.float32),
                np.zeros((1, 2, 2, 1), np.uint8),
                output_shape=(6, 4),
            ),
            "cannot come from pooling",
        ),
    ],
)
def test_bad_arguments_get_a_sentence(function, words):
    with pytest.raises(ValueError, match=words):
        function()


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(
    ("window", "strides"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 3), (3, 3))]
)
@pytest.mark.parametrize("include_batch", [False, True])
def test_equals_tensorflow(window, strides, padding, include_batch):
    tf = pytest.importorskip("tensorflow")
    # Positive, as after a ReLU: TensorFlow's indices are wrong where its zero padding
    # would win.
    images = np.abs(_images((2, 10, 12, 3))) + 0.1
    expected, argmax = tf.nn.max_pool_with_argmax(
        images, window, strides, padding, include_batch_in_index=include_batch
    )
    pooled, switches = max_pool_argmax(images, window, strides, padding)
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(
        codes_to_tensorflow(
            switches,
            images.shape,
            window,
            strides,
            padding,
            include_batch_in_index=include_batch,
        ),
        argmax,
    )
    if include_batch:
        scattered = tf.scatter_nd(
            tf.reshape(argmax, (-1, 1)), tf.reshape(expected, (-1,)), [images.size]
        )
        unpooled = max_unpool(
            pooled, switches, window, strides, padding, output_shape=images.shape
        )
        np.testing.assert_allclose(np.ravel(unpooled), scattered, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("window", "strides", "pad"),
    [(2, 2, 0), (3, 3, 0), (3, 3, 1), (2, 3, 0), (2, 2, 1)],
)
def test_equals_torch(window, strides, pad):
    torch = pytest.importorskip("torch")
    images = _images((2, 11, 10, 3))
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2))
    expected, indices = torch.nn.functional.max_pool2d(
        tensor, window, strides, pad, return_indices=True
    )
    arguments = ((window,) * 2, (strides,) * 2, ((pad, pad), (pad, pad)))
    pooled, switches = max_pool_argmax(images, *arguments)
    np.testing.assert_array_equal(pooled, expected.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(
        codes_to_torch(switches, images.shape, *arguments), indices.numpy()
    )
    unpooled = torch.nn.functional.max_unpool2d(
        expected, indices, window, strides, pad, output_size=tensor.shape
    )
    np.testing.assert_array_equal(
        max_unpool(pooled, switches, *arguments, output_shape=images.shape),
        unpooled.numpy().transpose(0, 2, 3, 1),
    )


def _documented():
    """The functions of docs/library.md."""
    document = pathlib.Path(__file__).parents[2] / "docs" / "library.md"
    [block] = re.findall(r"```python\n(def jvp.*?)```", document.read_text(), re.DOTALL)
    names = {"jax": jax}
    exec(block, names)  # noqa: S102
    return names["jvp"], names["hessian_vector_product"]


@pytest.mark.parametrize("implementation", ["xla", "pallas", "scatter"])
def test_products_with_jacobian_and_hessian_as_documented(implementation):
    jvp, hessian_vector_product = _documented()
    rng = np.random.default_rng(0)
    x, v = (jnp.asarray(rng.standard_normal((2, 6, 8, 4), np.float32)) for _ in "xv")

    def square_maxima(x):
        pooled, switches = max_pool_argmax(x, implementation=implementation)
        return max_unpool(jnp.square(pooled), switches, implementation=implementation)

    is_maximum = jax.jit(square_maxima)(jnp.exp(x)) > 0
    outputs, tangent = jvp(square_maxima, x, v)
    np.testing.assert_allclose(outputs, jnp.where(is_maximum, x**2, 0), rtol=1e-6)
    np.testing.assert_allclose(tangent, jnp.where(is_maximum, 2 * x * v, 0), rtol=1e-6)
    product = hessian_vector_product(
        lambda x: jnp.sum(jnp.square(square_maxima(x))), x, v
    )
    wanted = jnp.where(is_maximum, 12 * jnp.square(x) * v, 0)
    np.testing.assert_allclose(product, wanted, rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(square_maxima, (x,), (v,))
