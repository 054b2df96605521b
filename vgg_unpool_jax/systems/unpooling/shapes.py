"""Functions of photos of many sizes, compiled for few shapes.

Every shape costs seconds of compilation and tens of megabytes. The first shapes of a
caller are compiled as they are, which is all that fixed crops need. Further ones are
padded up to multiples of `BUCKET` pixels, and the models are told where the photo ends,
see `nets.convolution.zero_beyond`: the result is that of the photo itself up to
rounding. Programs that were not used for long are given back.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vgg_unpool_jax.systems.unpooling.tiling import pad_on_host

BUCKET = 64  # a multiple of what every block needs
EXACT_SHAPES = 2
MAX_PROGRAMS = 16


class ShapedPrograms:
    """A jitted function of variables and of NHWC arrays that belong to one image."""

    def __init__(self, function: Callable, multiple: int = 1):
        """Compile nothing yet.

        Args:
          function: (variables, arrays, size) -> a tree of arrays like `arrays`, each
            (n, h / k, w / k, c) for some k. `size` is None or the height and width,
            int32 (2,), beyond which arrays are padding.
          multiple: of which `size` must be one: photos are first padded to it by
            reflection, and outputs cropped; without `size` the function does so.
        """
        self._multiple = multiple
        self._function = function
        self._within = jax.jit(
            lambda variables, arrays: function(variables, arrays, None)
        )
        self._exact: set[tuple] = set()
        self._programs: dict[tuple, Callable] = {}

    def __call__(self, variables, arrays, size: tuple[int, int]):
        """Call the function.

        Args:
          variables: of the model.
          arrays: a tree of arrays (n, h / k, w / k, c).
          size: h and w of the image that they belong to.
        """
        leaves = jax.tree.leaves(arrays)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return self._within(variables, arrays)
        shape = len(leaves[0]), *size
        bucket = tuple(-(-side // BUCKET) * BUCKET for side in size)
        if len(self._exact) < EXACT_SHAPES:
            self._exact.add(shape)
        if shape in self._exact or bucket == size:
            return self._program(shape, True)(variables, arrays, None)
        whole = tuple(-(-side // self._multiple) * self._multiple for side in size)
        if whole != size:
            arrays = jax.tree.map(lambda a: pad_on_host(a, self._multiple), arrays)
        padded = jax.tree.map(lambda a: _resized(a, whole, bucket), arrays)
        program = self._program((shape[0], *bucket), False)
        with jax.ensure_compile_time_eval():  # where `jit` closes over the arrays
            outputs = program(variables, padded, np.asarray(whole, np.int32))
            # Not `jnp.asarray`, which compiles a copy for every shape.
            return jax.tree.map(
                lambda array: jax.device_put(_resized(array, bucket, size)), outputs
            )

    def _program(self, shape: tuple[int, ...], is_whole: bool) -> Callable:
        key = shape, is_whole
        program = self._programs.pop(key, None)
        if program is None:
            # Not one for all: what it compiled is given back with it.
            program = jax.jit(lambda *arguments: self._function(*arguments))
        self._programs[key] = program
        if len(self._programs) > MAX_PROGRAMS:
            del self._programs[next(iter(self._programs))]
        return program


def _resized(array: Any, size, new_size) -> np.ndarray:
    """Pad by zeros or crop at the bottom and right, on the host."""
    array = np.asarray(array)
    sides = [
        new * part // old
        for old, new, part in zip(size, new_size, array.shape[1:3], strict=True)
    ]
    if new_size[0] * new_size[1] <= size[0] * size[1]:
        return array[:, : sides[0], : sides[1]]
    pads = [(0, new - old) for old, new in zip(array.shape[1:3], sides, strict=True)]
    return np.pad(array, ((0, 0), *pads, (0, 0)))
