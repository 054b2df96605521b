"""Muon against optax's and against singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from vgg_unpool_jax.training import parallel
from vgg_unpool_jax.training.muon import muon, orthogonalize


def _kernel(shape, seed=0):
    # Directions that differ by a factor of a hundred in how much they vary.
    scale = jnp.logspace(-2, 0, shape[-1])
    return jax.random.normal(jax.random.key(seed), shape) * scale


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (1, 1, 3, 32), (7, 5)])
def test_all_singular_values_become_nearly_equal(shape):
    kernel = _kernel(shape)
    columns = shape[-1]
    matrix = np.asarray(kernel).reshape(-1, columns)
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    along = u.T @ np.asarray(jax.jit(orthogonalize)(kernel)).reshape(-1, columns) @ vt.T
    values = np.diag(along) / (0.2 * np.sqrt(max(matrix.shape)))
    assert values.min() > 0.65
    assert values.max() < 1.25
    np.testing.assert_allclose(along - np.diag(np.diag(along)), 0, atol=2e-3)


def test_a_gradient_of_zeros_stays_zero():
    assert not np.any(orthogonalize(jnp.zeros((3, 3, 4, 6))))


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (3, 3, 64, 3), (3, 3, 4, 64)])
def test_a_kernel_is_made_orthogonal_as_in_optax(shape):
    gradient = {"kernel": _kernel(shape)}
    dimensions = optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)
    theirs = optax.contrib.muon(
        1.0,
        consistent_rms=0.2,
        muon_weight_dimension_numbers={"kernel": dimensions},
    )
    ours = muon(1.0)
    expected, updates = (
        jax.jit(lambda g, method=method: method.update(g, method.init(g), g)[0])(
            gradient
        )
        for method in (theirs, ours)
    )
    np.testing.assert_allclose(updates["kernel"], expected["kernel"], atol=2e-3)


def test_ten_steps_agree_with_optax():
    params = {"kernel": _kernel((3, 3, 8, 8), 1), "bias": jnp.ones(8)}
    dimensions = {
        "kernel": optax.contrib.MuonDimensionNumbers((0, 1, 2), 3),
        "bias": None,
    }
    theirs = optax.contrib.muon(
        0.02,
        beta=0.5,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=dimensions,
    )
    ours = muon(0.02, momentum=0.5)
    ends = []
    for optimizer in (theirs, ours):

        @jax.jit
        def update(current, state, number, optimizer=optimizer):
            gradient = jax.tree.map(lambda x: jnp.sin(x * number), current)
            updates, state = optimizer.update(gradient, state, current)
            return optax.apply_updates(current, updates), state

        current, state = params, optimizer.init(params)
        for step in range(10):
            current, state = update(current, state, step + 1.0)
        ends.append(current)
    moved = np.abs(ends[0]["kernel"] - params["kernel"]).max()
    assert moved > 0.05
    # Theirs corrects the first steps' average for its start at zero, ours needs not.
    np.testing.assert_allclose(ends[1]["kernel"], ends[0]["kernel"], atol=moved / 20)
    np.testing.assert_allclose(ends[1]["bias"], ends[0]["bias"], rtol=1e-5)


def test_devices_that_divide_the_kernels_give_what_one_gives():
    gradient = {
        name: {"kernel": _kernel((3, 3, 4, 4), seed), "bias": jnp.ones(4)}
        for seed, name in enumerate(("a", "b", "c"))
    }
    alone = muon(0.1)
    expected, _ = alone.update(gradient, alone.init(gradient), gradient)
    divided = muon(0.1, map_arrays=parallel.map_divided)
    state = divided.init(gradient)
    devices = jax.local_device_count()
    updates = jax.pmap(
        lambda gradient, _: divided.update(gradient, state, gradient)[0],
        axis_name=parallel.DEVICE_AXIS,
        in_axes=(None, 0),
    )(gradient, np.zeros(devices))
    for device in range(devices):
        jax.tree.map(
            lambda a, b, k=device: np.testing.assert_allclose(a[k], b, rtol=1e-4),
            updates,
            expected,
        )
