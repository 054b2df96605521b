"""Implementations of pooling agree; ReLU in front, packed codes, what is chosen."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import max_pool_argmax, max_unpool, pooling, unpack_codes


def _difficult_images(shape, dtype=np.float32):
    """Ties everywhere, NaN first and later in windows, windows of -inf alone."""
    rng = np.random.default_rng(0)
    images = rng.integers(-2, 3, shape).astype(np.float32)
    images[rng.random(shape) < 0.1] = np.nan
    images[:, :2, :2] = -np.inf
    return jnp.asarray(images, dtype)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _everything(images, cotangent, relu, packed, implementation):
    """Pooled values, codes, gradient; unpooled image, its gradient; the pair's."""
    options = {"packed": packed, "implementation": implementation}

    def pool(images):
        return max_pool_argmax(images, relu=relu, **options)

    def unpool(values):
        return max_unpool(values, switches, output_shape=images.shape, **options)

    (pooled, switches), pool_gradient = jax.vjp(pool, images)
    no_gradient = np.zeros(switches.shape, jax.dtypes.float0)
    unpooled, pick = jax.vjp(unpool, cotangent)
    # Twice: the gradient of the gradient, where a ReLU's gate has to come through.
    again = jax.grad(lambda c: jnp.sum(pool_gradient((c, no_gradient))[0] ** 3))
    return (
        pooled,
        unpack_codes(switches, images.shape[3]) if packed else switches,
        pool_gradient((cotangent, no_gradient))[0],
        unpooled,
        pick(jnp.nan_to_num(images))[0],
        again(cotangent),
    )


@pytest.mark.parametrize(
    ("relu", "dtype"),
    [(False, jnp.float32), (True, jnp.float32), (True, jnp.bfloat16)],
)
def test_all_implementations_agree(relu, dtype):
    images = _difficult_images((2, 7, 9, 5), dtype)
    cotangent = jax.random.normal(jax.random.key(1), (2, 3, 4, 5), dtype)
    expected = _everything(images, cotangent, relu, False, "scatter")
    for implementation, packed in [
        ("scatter", True),
        ("xla", False),
        ("xla", True),
        ("native", False),
        ("native", True),
        ("pallas", True),
    ]:
        found = _everything(images, cotangent, relu, packed, implementation)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(
                np.asarray(one, np.float32), np.asarray(other, np.float32)
            )


@pytest.mark.parametrize("implementation", ["xla", "native", "scatter"])
def test_relu_in_front_equals_relu_and_pooling(implementation):
    images = _difficult_images((2, 8, 6, 3))
    cotangent = jax.random.normal(jax.random.key(1), (2, 4, 3, 3))

    def outside(images):
        return max_pool_argmax(jax.nn.relu(images))

    def inside(images):
        return max_pool_argmax(images, relu=True, implementation=implementation)

    results = []
    for function in (outside, inside):
        (pooled, codes), gradient = jax.vjp(function, images)
        zero = np.zeros(codes.shape, jax.dtypes.float0)
        results.append((pooled, codes, *gradient((cotangent, zero))))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_window_without_a_positive_value_pools_to_zero_with_code_zero():
    images = jnp.asarray([[-3.0, -1.0], [-0.0, -2.0]]).reshape(1, 2, 2, 1)
    pooled, codes = max_pool_argmax(images, relu=True)
    assert float(pooled.item()) == 0 and int(codes.item()) == 0
    gradient = jax.grad(lambda x: max_pool_argmax(x, relu=True)[0].sum())(images)
    np.testing.assert_array_equal(gradient, 0.0)


def test_relu_keeps_nothing_of_the_image_for_its_gradient():
    images = _difficult_images((1, 8, 8, 4))
    _, gradient = jax.vjp(lambda x: max_pool_argmax(x, relu=True, packed=True), images)
    kept = [leaf for leaf in jax.tree.leaves(gradient) if hasattr(leaf, "shape")]
    assert sorted(leaf.shape for leaf in kept) == [(1, 4, 4, 1), (1, 4, 4, 4)]


@pytest.mark.parametrize("window", [(3, 3), (2, 3)])
def test_relu_in_front_of_any_window(window):
    images = _difficult_images((2, 9, 9, 2))
    expected = max_pool_argmax(jax.nn.relu(images), window, (2, 2), "SAME")
    found = max_pool_argmax(images, window, (2, 2), "SAME", relu=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("implementation", ["xla", "native", "pallas", "scatter"])
def test_works_under_vmap_with_gradients(implementation):
    images = jnp.nan_to_num(_difficult_images((3, 2, 4, 4, 4)), neginf=-9.0)

    def loss(image):
        options = {"implementation": implementation}
        pooled, switches = max_pool_argmax(image, relu=True, **options)
        return jnp.sum(max_unpool(pooled * pooled, switches, **options))

    found = jax.jit(jax.vmap(jax.grad(loss)))(images)
    expected = jnp.stack([jax.grad(loss)(image) for image in images])
    np.testing.assert_array_equal(found, expected)


def test_switches_are_kept_and_not_found_again_in_the_image():
    # In one jit XLA would let the unpooling compare the image a second time, and keep
    # the image until then.
    @jax.jit
    def there_and_back(images):
        pooled, switches = max_pool_argmax(jnp.sin(images))
        return max_unpool(jnp.sort(pooled, axis=1), switches)

    compiled = there_and_back.lower(jnp.ones((1, 16, 16, 64))).compile()
    entry = compiled.as_text().split("ENTRY")[1]
    assert re.search(r"u8\[1,8,8,64\]", entry)


def test_the_table_decides_for_the_platform_that_is_lowered_for(monkeypatch):
    table = {"cpu": "xla", "cuda": "scatter", "rocm": "xla", "tpu": "xla"}
    monkeypatch.setattr(pooling, "_DEFAULTS", table)
    values, switches = jnp.ones((1, 3, 5, 2)), jnp.ones((1, 3, 5, 2), jnp.uint8)

    def has_scatter(**options):
        traced = jax.jit(lambda v, s: max_unpool(v, s, **options)).trace
        return {
            platform: "stablehlo.scatter"
            in traced(values, switches).lower(lowering_platforms=(platform,)).as_text()
            for platform in ("cpu", "cuda", "tpu")
        }

    assert has_scatter() == {"cpu": False, "cuda": True, "tpu": False}
    assert not any(has_scatter(implementation="xla").values())
    np.testing.assert_array_equal(
        max_unpool(values, switches),
        max_unpool(values, switches, implementation="scatter"),
    )


def test_concrete_switches_are_checked_also_where_jit_closes_over_them():
    values = jnp.ones((1, 2, 2, 1))
    switches = jnp.zeros((1, 2, 2, 1), jnp.uint8)
    np.testing.assert_array_equal(
        jax.jit(lambda v: max_unpool(v, switches))(values), max_unpool(values, switches)
    )
    wrong = switches + 4
    with pytest.raises(ValueError, match="hold the code 4"):
        jax.jit(lambda v: max_unpool(v, wrong))(values)


IMAGES = np.zeros((1, 6, 6, 8), np.float32)
VALUES = np.zeros((1, 3, 3, 8), np.float32)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda: max_pool_argmax(IMAGES, (3, 3), implementation="pallas"),
            r"'pallas' is for 2×2 windows.*got window \(3, 3\).*'scatter' takes any",
        ),
        (
            lambda: max_pool_argmax(IMAGES, strides=(1, 1), packed=True),
            r"packed switches are for 2×2 windows.*strides \(1, 1\)",
        ),
    ],
)
def test_bad_arguments_get_a_sentence(function, words):
    with pytest.raises(ValueError, match=words):
        function()
