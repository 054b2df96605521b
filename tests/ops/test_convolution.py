"""All implementations of the 3×3 convolution do the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import convolution
from vgg_unpool_jax.ops.convolution import IMPLEMENTATIONS, convolve


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def oracle(images, kernel, bias, relu):
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    tensors = [torch.tensor(np.asarray(a)) for a in (images, kernel, bias)]
    tensors = [t.requires_grad_() for t in tensors]
    outputs = torch.nn.functional.conv2d(
        tensors[0].permute(0, 3, 1, 2), tensors[1].permute(3, 2, 0, 1), tensors[2], 1, 1
    ).permute(0, 2, 3, 1)
    outputs = outputs.relu() if relu else outputs
    outputs.pow(3).sum().backward()
    return outputs.detach().numpy(), *(t.grad.numpy() for t in tensors)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 3), (6, 6)])
def test_value_and_gradients_against_torch(implementation, inputs, outputs, relu):
    images, kernel = draw(2, 9, 14, inputs), draw(3, 3, inputs, outputs, seed=1) / 5
    arrays = images, kernel, draw(outputs, seed=2)

    def cube(*arrays):
        result = convolve(*arrays, relu=relu, implementation=implementation)
        return jnp.sum(result**3), result

    differentiated = jax.value_and_grad(cube, (0, 1, 2), has_aux=True)
    (_, value), gradients = jax.jit(differentiated)(*arrays)
    for got, wanted in zip((value, *gradients), oracle(*arrays, relu), strict=True):
        atol = 2e-5 * np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("implementation", ["winograd", "native", "columns"])
def test_gradients_equal_those_of_xla_on_a_size_of_many_bands(implementation):
    images, kernel = draw(2, 100, 90, 32), draw(3, 3, 32, 32, seed=1) / 17
    weights = draw(2, 100, 90, 32, seed=2)

    def gradients(name):
        def loss(images, kernel):
            outputs = convolve(images, kernel, jnp.zeros(32), implementation=name)
            return jnp.sum(weights * outputs)

        return jax.jit(jax.grad(loss, (0, 1)))(images, kernel)

    for got, wanted in zip(gradients(implementation), gradients("xla"), strict=True):
        atol = 1e-5 * float(jnp.abs(wanted).max())
        np.testing.assert_allclose(got, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_per_photo_gradients_under_vmap(implementation):
    images, kernel = draw(3, 1, 8, 8, 4), draw(3, 3, 4, 5, seed=1)
    zero = jnp.zeros(5)

    def loss(kernel, images):
        outputs = convolve(images, kernel, zero, implementation=implementation)
        return jnp.sum(outputs**2)

    gradient = jax.jit(jax.grad(loss))
    mapped = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(kernel, images)
    for one, got in zip(images, mapped, strict=True):
        wanted = gradient(kernel, one)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


def test_default_on_a_cpu(monkeypatch):
    def default(shape, outputs, dtype=jnp.float32):
        arrays = jnp.zeros(shape, dtype), jnp.zeros((3, 3, shape[-1], outputs), dtype)
        return convolution.default_implementation(*arrays)

    assert default((4, 192, 192, 64), 64) == "native"
    assert default((4, 192, 192, 3), 64) == "columns"
    assert default((4, 192, 192, 64), 3) == "columns"
    assert default((1, 12, 12, 512), 512) == "xla"  # nine tiles
    assert default((4, 64, 64, 16), 16) == "native"
    assert default((4, 64, 64, 64), 64, jnp.bfloat16) == "xla"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert default((4, 192, 192, 64), 64) == "xla"


def test_bfloat16():
    images, kernel = draw(1, 8, 8, 4), draw(3, 3, 4, 4, seed=1)
    arrays = images, kernel, draw(4, seed=2)
    got = convolve(*(array.astype(jnp.bfloat16) for array in arrays))
    assert got.dtype == jnp.bfloat16
    wanted = convolve(*arrays)
    np.testing.assert_allclose(got.astype(jnp.float32), wanted, rtol=0, atol=0.2)
