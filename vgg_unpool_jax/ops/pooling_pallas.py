"""Pooling and unpooling of 2×2 windows as Pallas kernels.

One body per operation, for Triton (GPU), Mosaic (TPU) and the interpreter (CPU, for
tests only: it runs the grid as a loop). A body reads the four elements of every window
of its block through a view of the image that splits rows and columns into pairs, which
is a reshape without a copy:

* Triton: (n·h', 2, w', 2, slots, c), so that row, column and slot are plain indices and
  loads are contiguous in c. Triton requires blocks whose size is a power of two and
  does not mask elements outside the array, so a block has the largest power of two that
  divides each axis: whole warps for the channels of VGG19 (64 to 512), less for others.
* Mosaic: (n·h', 2, w', 2·slots·c), whose last axis holds both columns in its lanes.
  Blocks have the whole axis, and Mosaic masks an incomplete last block of the others.

A slot is a quarter of the channels where codes are packed (see `packing.py`) and all
of them where they are not. Odd last rows and columns are cropped and padded outside.

The three functions have the same signature in `pooling_xla.py` and
`pooling_scatter.py`; `pooling.py` says what they mean, gives them gradients and holds
the table of defaults. Under `jit` over several devices XLA does not split a kernel.

jax 0.11 deprecates Pallas' Triton backend and warns when a GPU is lowered for; the
range in requirements.txt ends before the version that removes it.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as pltriton

from vgg_unpool_jax.ops.packing import CODES_PER_BYTE, packed_channels
from vgg_unpool_jax.ops.pooling_xla import crop_to_windows, first_maximum, pad_to
from vgg_unpool_jax.ops.windows import WindowGrid

# A Triton program: 4 warps of 32 threads, and as many windows per thread as a load of
# 16 bytes has values. Codes are then split over the threads as values are; with twice
# the windows the compiler converted the layout through shared memory, four times in
# unpooling (seen in the PTX for sm_90).
_TRITON_WARPS = 4
_TRITON_BYTES = 32 * _TRITON_WARPS * 16
# Bytes of the image block of a Mosaic program, as float32. Blocks are double-buffered
# and the body has a few temporaries; VMEM has 16 MiB by default.
_MOSAIC_BYTES = 512 * 1024
_MOSAIC_LANES = 128
_MOSAIC_SUBLANES = 32  # of a uint8 tile: blocks of w' are a multiple, or whole

_WINDOW = tuple((row, column) for row in range(2) for column in range(2))
_ALL = slice(None)


def pool(images, grid: WindowGrid, relu: bool, packed: bool):
    """(n, h, w, c) to pooled (n, h/2, w/2, c) and its codes, packed or not."""
    sizes = _Sizes.of(images, grid, packed)
    pooled, codes = _run(
        functools.partial(_pool_body, relu=relu),
        sizes,
        {"image": sizes.fit(crop_to_windows(images, grid))},
        [("values", images.dtype), ("codes", jnp.uint8)],
    )
    return pooled[..., : images.shape[3]], codes


def unpool(values, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) where gate > 0 to (n, h, w, c) at their switches."""
    sizes = _Sizes.of(values, grid, packed)
    inputs = {"values": sizes.fit(values), "codes": switches}
    if gate is not None:
        inputs["gate"] = sizes.fit(gate)
    (images,) = _run(_unpool_body, sizes, inputs, [("image", values.dtype)])
    return pad_to(images[..., : values.shape[3]], grid)


def pick(images, switches, gate, grid: WindowGrid, packed: bool):
    """Values (n, h', w', c) of images (n, h, w, c) at the switches where gate > 0."""
    sizes = _Sizes.of(images, grid, packed)
    inputs = {"image": sizes.fit(crop_to_windows(images, grid)), "codes": switches}
    if gate is not None:
        inputs["gate"] = sizes.fit(gate)
    (values,) = _run(_pick_body, sizes, inputs, [("values", images.dtype)])
    return values[..., : images.shape[3]]


# --- bodies ---------------------------------------------------------------------------


def _pool_body(image, pooled, codes, *, layout, relu):
    packed = 0
    for slot in range(layout.sizes.slots):
        quarters = [
            _wide(image[layout.image(row, column, slot)]) for row, column in _WINDOW
        ]
        if relu:  # a comparison, as it keeps NaN on every platform
            quarters = [jnp.where(q <= 0, jnp.zeros_like(q), q) for q in quarters]
        best, code = first_maximum(quarters, jnp.int32)
        pooled[layout.values(slot)] = best.astype(pooled.dtype)
        packed = packed | (code << (2 * slot))
    codes[...] = packed.astype(codes.dtype)


def _unpool_body(values, codes, *gate_and_image, layout):
    *gate, image = gate_and_image
    packed = codes[...].astype(jnp.int32)
    for slot in range(layout.sizes.slots):
        code = _code(packed, slot, layout)
        value = _gated(_wide(values[layout.values(slot)]), gate, slot, layout)
        for element, (row, column) in enumerate(_WINDOW):
            here = jnp.where(code == element, value, jnp.zeros_like(value))
            image[layout.image(row, column, slot)] = here.astype(image.dtype)


def _pick_body(image, codes, *gate_and_values, layout):
    *gate, values = gate_and_values
    packed = codes[...].astype(jnp.int32)
    for slot in range(layout.sizes.slots):
        code = _code(packed, slot, layout)
        picked = jnp.zeros((), _wide_dtype(image.dtype))
        for element, (row, column) in enumerate(_WINDOW):
            here = _wide(image[layout.image(row, column, slot)])
            picked = jnp.where(code == element, here, picked)
        picked = _gated(picked, gate, slot, layout)
        values[layout.values(slot)] = picked.astype(values.dtype)


def _code(packed, slot, layout):
    return packed if layout.sizes.slots == 1 else (packed >> (2 * slot)) & 3


def _gated(value, gate, slot, layout):
    if not gate:
        return value
    is_open = _wide(gate[0][layout.values(slot)]) > 0
    return jnp.where(is_open, value, jnp.zeros_like(value))


def _wide_dtype(dtype):
    # Not `promote_types`, which jax's strict promotion refuses.
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype


def _wide(values):
    """As float32 at least: not every TPU compares bfloat16, and masks would differ."""
    return values.astype(_wide_dtype(values.dtype))


# --- sizes and layouts ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Sizes of the pooled image: (photos, height, width, slots · channels)."""

    photos: int
    height: int
    width: int
    slots: int
    channels: int
    itemsize: int  # bytes of a value

    @classmethod
    def of(cls, array, grid: WindowGrid, packed: bool) -> "_Sizes":
        channels, slots = array.shape[3], 1
        if packed:
            channels, slots = packed_channels(channels), CODES_PER_BYTE
        itemsize = array.dtype.itemsize
        return cls(array.shape[0], *grid.pooled_size, slots, channels, itemsize)

    def fit(self, array):
        """Pad channels to a whole number of slots."""
        missing = self.slots * self.channels - array.shape[3]
        return jnp.pad(array, ((0, 0), (0, 0), (0, 0), (0, missing)))

    def shape(self, kind: str) -> tuple[int, ...]:
        """NHWC shape of the "image", the "values" or "gate", or the "codes"."""
        if kind == "codes":
            return self.photos, self.height, self.width, self.channels
        scale = 2 if kind == "image" else 1
        channels = self.slots * self.channels
        return self.photos, scale * self.height, scale * self.width, channels


@dataclasses.dataclass(frozen=True)
class _Triton:
    sizes: _Sizes

    @property
    def blocks(self) -> tuple[int, int, int]:
        """Rows of windows, windows per row and channels of one program."""
        taken, left = [], _TRITON_BYTES // self.sizes.itemsize
        rows = self.sizes.photos * self.sizes.height
        for size in (self.sizes.channels, self.sizes.width, rows):
            taken.append(min(size & -size, left))
            left //= taken[-1]
        return taken[2], taken[1], taken[0]

    @property
    def grid(self) -> tuple[int, ...]:
        rows, columns, channels = self.blocks
        # Channels vary fastest, so that neighbouring programs share cache lines.
        return (
            self.sizes.channels // channels,
            self.sizes.width // columns,
            self.sizes.photos * self.sizes.height // rows,
        )

    def shape(self, kind: str) -> tuple[int, ...]:
        rows, width = self.sizes.photos * self.sizes.height, self.sizes.width
        slots, channels = self.sizes.slots, self.sizes.channels
        if kind == "image":
            return rows, 2, width, 2, slots, channels
        if kind == "codes":
            return rows, width, channels
        return rows, width, slots, channels

    def spec(self, kind: str) -> pl.BlockSpec:
        rows, columns, channels = self.blocks
        slots = self.sizes.slots
        if kind == "image":
            return pl.BlockSpec(
                (rows, 2, columns, 2, slots, channels),
                lambda c, j, i: (i, 0, j, 0, 0, c),
            )
        if kind == "codes":
            return pl.BlockSpec((rows, columns, channels), lambda c, j, i: (i, j, c))
        return pl.BlockSpec(
            (rows, columns, slots, channels), lambda c, j, i: (i, j, 0, c)
        )

    def image(self, row: int, column: int, slot: int) -> tuple:
        return _ALL, row, _ALL, column, slot, _ALL

    def values(self, slot: int) -> tuple:
        return _ALL, _ALL, slot, _ALL

    @property
    def compiler_params(self):
        return pltriton.CompilerParams(num_warps=_TRITON_WARPS, num_stages=1)


@dataclasses.dataclass(frozen=True)
class _Mosaic:
    sizes: _Sizes

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows of windows and windows per row of one program."""
        channels = 2 * self.sizes.slots * self.sizes.channels
        window = 2 * 4 * -(-channels // _MOSAIC_LANES) * _MOSAIC_LANES  # bytes
        windows = max(_MOSAIC_BYTES // window, 1)
        if windows < self.sizes.width and self.sizes.width > _MOSAIC_SUBLANES:
            return 1, max(windows // _MOSAIC_SUBLANES, 1) * _MOSAIC_SUBLANES
        rows = self.sizes.photos * self.sizes.height
        return min(rows, max(windows // self.sizes.width, 1)), self.sizes.width

    @property
    def grid(self) -> tuple[int, ...]:
        rows, columns = self.blocks
        return (
            pl.cdiv(self.sizes.photos * self.sizes.height, rows),
            pl.cdiv(self.sizes.width, columns),
        )

    def shape(self, kind: str) -> tuple[int, ...]:
        n, height, width, channels = self.sizes.shape(kind)
        if kind == "image":
            return n * height // 2, 2, width // 2, 2 * channels
        return n * height, width, channels

    def spec(self, kind: str) -> pl.BlockSpec:
        rows, columns = self.blocks
        channels = self.shape(kind)[-1]
        if kind == "image":
            return pl.BlockSpec((rows, 2, columns, channels), lambda i, j: (i, 0, j, 0))
        return pl.BlockSpec((rows, columns, channels), lambda i, j: (i, j, 0))

    def image(self, row: int, column: int, slot: int) -> tuple:
        run = self.sizes.channels
        return _ALL, row, _ALL, pl.ds((column * self.sizes.slots + slot) * run, run)

    def values(self, slot: int) -> tuple:
        return _ALL, _ALL, pl.ds(slot * self.sizes.channels, self.sizes.channels)

    @property
    def compiler_params(self):
        return pltpu.CompilerParams(dimension_semantics=("parallel", "parallel"))


def _call(body: Callable, layout, interpret: bool, kinds, outputs, *arrays):
    results = pl.pallas_call(
        functools.partial(body, layout=layout),
        grid=layout.grid,
        in_specs=[layout.spec(kind) for kind in kinds],
        out_specs=[layout.spec(kind) for kind, _ in outputs],
        out_shape=[
            jax.ShapeDtypeStruct(layout.shape(kind), dtype) for kind, dtype in outputs
        ],
        compiler_params=layout.compiler_params,
        interpret=interpret,
        name=body.func.__name__ if hasattr(body, "func") else body.__name__,
    )(*(a.reshape(layout.shape(kind)) for kind, a in zip(kinds, arrays, strict=True)))
    return [
        result.reshape(layout.sizes.shape(kind))
        for (kind, _), result in zip(outputs, results, strict=True)
    ]


def _run(body: Callable, sizes: _Sizes, inputs: dict, outputs) -> list[jax.Array]:
    """Run a body on NHWC arrays in the layout of the platform it is lowered for."""

    def on(layout, interpret=False):
        return functools.partial(
            _call, body, layout, interpret, tuple(inputs), tuple(outputs)
        )

    triton = on(_Triton(sizes))
    # Decided at lowering and not by the devices of this process, so that code can be
    # compiled and exported for another platform; only that platform's kernel is
    # lowered.
    return jax.lax.platform_dependent(
        *inputs.values(),
        cpu=on(_Triton(sizes), interpret=True),
        cuda=triton,
        rocm=triton,
        tpu=on(_Mosaic(sizes)),
    )
