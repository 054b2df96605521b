"""The Muon optimizer for convolution kernels.

Muon is steepest descent in the spectral norm of a kernel, taken as the matrix (height *
width * inputs, outputs): steps have the same length along all its singular directions,
those in which features hardly vary included, whereas Adam scales each weight
separately. docs/training_notes.md has the effect on the L1 of the pairs. Sources: K.
Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/; length of a step: arXiv 2502.16982, section
2.2.

The result is that of `optax.contrib.muon`, in which every iteration multiplies the
whole kernel. Here all iterations act on its Gram matrix, with 0.4 of the
multiplications for a 3×3 kernel of 512 channels, and a mapped step divides the kernels
among devices.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

# Coefficients of Jordan's iteration, whose polynomial is steep at 0; singular values
# end near 1, not at 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# Root mean square of an update at learning rate 1, about that of Adam, so that both can
# use the same learning rates.
_RMS = 0.2

# Computes [function(array) for array in arrays].
MapArrays = Callable[[Callable, Sequence[jax.Array]], list[jax.Array]]


def map_here(function: Callable, arrays: Sequence[jax.Array]) -> list[jax.Array]:
    """[function(array) for array in arrays]."""
    return [function(array) for array in arrays]


def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.95,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    map_arrays: MapArrays = map_here,
) -> optax.GradientTransformation:
    """Muon for arrays of two or more axes, Adam with Nesterov's momentum for the rest.

    Args:
      learning_rate: a number or a schedule, for both.
      momentum: decay of Muon's average of gradients.
      b1: decay of Adam's average of gradients.
      b2: decay of Adam's average of their squares.
      eps: of Adam; also added to the norm by which Muon divides.
      map_arrays: how the kernels' updates are computed, such as
        `parallel.map_divided`, where each device computes a share of them.

    Returns:
      The optimizer.
    """

    def orthogonalize_all(updates, _):
        leaves, structure = jax.tree.flatten(updates)
        made = map_arrays(lambda kernel: orthogonalize(kernel, eps), leaves)
        return jax.tree.unflatten(structure, made)

    kernels = optax.chain(
        optax.trace(decay=momentum, nesterov=True),
        optax.stateless(orthogonalize_all),
        optax.scale_by_learning_rate(learning_rate),
    )
    rest = optax.adam(learning_rate, b1=b1, b2=b2, eps=eps, nesterov=True)
    return optax.partition(
        {"kernels": kernels, "rest": rest},
        lambda params: jax.tree.map(
            lambda x: "kernels" if x.ndim >= 2 else "rest", params
        ),
    )


def orthogonalize(kernel: jax.Array, eps: float = 1e-8) -> jax.Array:
    """The kernel with all its singular values about equal.

    Args:
      kernel: (..., inputs, outputs), taken as a matrix (rows, outputs).
      eps: added to its norm.

    Returns:
      An array like `kernel`: U diag(s) V^T with its singular vectors and s between 0.68
      and 1.14 (for singular values above rounding errors), scaled so that s = 1 would
      give a root mean square of 0.2.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    rows, columns = matrix.shape
    if rows < columns:
        matrix = matrix.T
    matrix = matrix / (jnp.linalg.norm(matrix) + eps)
    product = _product(matrix, _to_orthogonal(_product(matrix.T, matrix)))
    if rows < columns:
        product = product.T
    return product.reshape(kernel.shape) * (_RMS * math.sqrt(max(rows, columns)))


def _to_orthogonal(gram: jax.Array) -> jax.Array:
    """The matrix by which Jordan's iteration multiplies X, where X^T X = gram."""
    a, b, c = _COEFFICIENTS
    identity = jnp.eye(len(gram), dtype=gram.dtype)
    total = identity
    for iteration in range(_ITERATIONS):
        factor = a * identity + b * gram + c * _product(gram, gram)
        total = _product(total, factor)
        if iteration < _ITERATIONS - 1:
            gram = _product(factor, _product(gram, factor))
    return total


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    # Squared singular values need all of float32.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
