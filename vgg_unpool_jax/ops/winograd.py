"""3×3 convolution by Winograd's minimal filtering, in bands that stay in the cache.

Four outputs in a row need twelve products directly and six here; in two dimensions this
is a quarter of the products:

    outputs of a tile = A^T [ (G k G^T) ⊙ (B^T x B) ] A       4×4 from 6×6 inputs

⊙ runs over 36 positions, and at each of them the channels are combined by a matrix
product. Transforms cost additions and memory traffic, so a band of tiles passes all
three stages before the next one starts. The weight gradient is the transposed identity:

    dk = G^T [ Σ over tiles (B^T x B) ⊙ (A g A^T) ] G

The points are 0, ±3/4, ±3/2 instead of the textbook's 0, ±1, ±2, which lose more
digits: for 512 non-negative channels the root mean square error is 1.8e-6 of the
outputs' standard deviation, 3.8e-6 with the textbook's points, and 2.8e-7 for XLA's
convolution (`tests/ops/test_winograd.py` checks the first).

An infinity or NaN in the input spreads over its tile.

Source: Lavin & Gray 2015, arXiv 1509.09308; on points, Barabasz et al. 2018,
arXiv 1803.10986.
"""

import dataclasses
import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

TILE = 4  # outputs per side of a tile
_INPUTS = TILE + 2  # inputs per side
_POINTS = (
    Fraction(0),
    Fraction(3, 4),
    Fraction(-3, 4),
    Fraction(3, 2),
    Fraction(-3, 2),
)

# Accelerators would otherwise round factors to bfloat16 or TF32, and the transforms
# amplify rounding errors.
_PRECISION = jax.lax.Precision.HIGHEST

# Transformed inputs of a band, in bytes. On two cores with 1 MiB of L2 each and 32 MiB
# of L3, 2 to 6 MiB are equally fast; whole images of 192² take 1.6 times as long.
_BAND_BYTES = 4 * 2**20


def _product(left: list[Fraction], right: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of two polynomials, constant term first."""
    result = [Fraction(0)] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            result[i + j] += a * b
    return result


def make_transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices B^T (6, 6), G (6, 3) and A^T (4, 6) of the Toom-Cook algorithm.

    Each row belongs to a point at which polynomials are evaluated, the last to
    infinity.
    """
    inputs, kernel, outputs = [], [], []
    for point in _POINTS:
        others = [other for other in _POINTS if other != point]
        factors = [[-other, Fraction(1)] for other in others]
        polynomial = functools.reduce(_product, factors, [Fraction(1)])
        inputs.append([*polynomial, Fraction(0)])
        scale = np.prod([point - other for other in others])
        kernel.append([point**power / scale for power in range(3)])
    factors = [[-point, Fraction(1)] for point in _POINTS]
    inputs.append(functools.reduce(_product, factors, [Fraction(1)]))
    kernel.append([Fraction(0), Fraction(0), Fraction(1)])
    for power in range(TILE):
        last = Fraction(int(power == TILE - 1))
        outputs.append([*(point**power for point in _POINTS), last])
    return tuple(np.array(m, np.float64) for m in (inputs, kernel, outputs))


_B_T, _G, _A_T = make_transforms()


def _combine(matrix: np.ndarray, parts: list[jax.Array]) -> list[jax.Array]:
    """Σ row[k] · parts[k] for each row, without the terms that are zero.

    Rows 1 and 2, and rows 3 and 4, of a matrix with six rows belong to points p and -p:
    they share the sums of even and of odd terms.
    """

    def total(row):
        terms = [
            part if factor == 1 else part * np.float32(factor)
            for factor, part in zip(row, parts, strict=True)
            if factor
        ]
        return functools.reduce(jnp.add, terms)

    if len(matrix) != _INPUTS:
        return [total(row) for row in matrix]
    combined = [total(matrix[0])]
    for plus, minus in (matrix[1:3], matrix[3:5]):
        same = np.where(plus == minus, plus, 0)
        other = np.where(plus == minus, 0, plus)
        combined += [total(same) + total(other), total(same) - total(other)]
    return [*combined, total(matrix[5])]


@dataclasses.dataclass(frozen=True)
class _Bands:
    """How the tiles of images are cut into bands.

    Attributes:
      photos: photos in a band.
      rows: rows of tiles of each of them.
      columns: tiles in a row.
      count: (along the batch, along the height).
    """

    photos: int
    rows: int
    columns: int
    count: tuple[int, int]


def _make_bands(shape: tuple[int, ...], channels: int, kernel_size: int) -> _Bands:
    """Cut (n, h, w, ·) so that a band's transform fits the cache.

    Args:
      shape: of the images.
      channels: the larger of the two channel counts.
      kernel_size: elements of the 36 transformed kernels. All of them are read once per
        band, so a band smaller than they are would be limited by memory.
    """
    n, height, width, _ = shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    row_bytes = 4 * _INPUTS**2 * columns * channels
    wanted = max(1, max(_BAND_BYTES, 4 * kernel_size) // row_bytes)
    if wanted >= rows:
        photos = max(d for d in range(1, n + 1) if n % d == 0 and d * rows <= wanted)
        return _Bands(photos, rows, columns, (n // photos, 1))
    count = -(-rows // wanted)
    return _Bands(1, -(-rows // count), columns, (n, count))


def _start(bands: _Bands, index) -> tuple:
    """Where a band begins in (n, h, w, c)."""
    photo, row = index // bands.count[1], index % bands.count[1]
    return photo * bands.photos, row * bands.rows * TILE, 0, 0


def _cut(images: jax.Array, bands: _Bands, index, margin: int) -> jax.Array:
    """A band and `margin` pixels around it, with zeros beyond the images.

    Padded images would be arrays of their own, kept until the gradient of the kernel.
    """
    _, height, width, channels = images.shape
    photo, row, _, _ = _start(bands, index)
    wanted = bands.rows * TILE + 2 * margin
    rows = min(wanted, height)  # from the images
    first = jnp.clip(row - margin, 0, height - rows)
    band = jax.lax.dynamic_slice(
        images, (photo, first, 0, 0), (bands.photos, rows, width, channels)
    )
    last = (bands.count[1] - 1) * bands.rows * TILE - margin
    below = wanted - rows + max(0, last - (height - rows))
    right = bands.columns * TILE - width + margin
    band = jnp.pad(band, ((0, 0), (margin, below), (margin, right), (0, 0)))
    if wanted == band.shape[1]:
        return band
    return jax.lax.dynamic_slice_in_dim(band, row - first, wanted, axis=1)


def _transform(images: jax.Array, matrix: np.ndarray, bands: _Bands) -> jax.Array:
    """Matrix · tile · matrix^T of every tile.

    Args:
      images: (photos, h, w, c), a band.
      matrix: (6, k): k = 6 takes overlapping tiles (inputs), 4 disjoint ones.
      bands: geometry.

    Returns:
      (36, tiles, c).
    """

    def slices(array, axis, count):
        stop = (count - 1) * TILE + 1
        return [
            jax.lax.slice_in_dim(array, k, k + stop, stride=TILE, axis=axis)
            for k in range(matrix.shape[1])
        ]

    parts = slices(images, 1, bands.rows)
    rows = jnp.stack(_combine(matrix, parts))
    # Without the barrier XLA would recompute each row for each of six columns.
    rows = jax.lax.optimization_barrier(rows)
    parts = slices(rows, 3, bands.columns)
    tiles = jnp.stack(_combine(matrix, parts), axis=1)
    return tiles.reshape(_INPUTS**2, -1, images.shape[-1])


@jax.custom_batching.custom_vmap
def _zero_after(images: jax.Array) -> jax.Array:
    """The number 0, for XLA a number that is known when `images` are.

    XLA computes equal expressions of a program once, as early as it likes, and keeps
    the result until its last use: the transformed kernels of an encoder that runs
    twice, and zeros. What contains this number is computed for one convolution alone.
    """
    first = images[(0,) * images.ndim]
    return jnp.where(jnp.isfinite(first), 0.0 * first, 0.0)


@_zero_after.def_vmap
def _zero_after_all(axis_size, is_batched, images):
    del axis_size, is_batched
    return _zero_after(images[0]), False


def _transform_kernel(kernel: jax.Array, zero: jax.Array | float = 0.0) -> jax.Array:
    """G k G^T: (3, 3, i, o) to (36, i, o)."""
    # One product compiles in a hundredth of the time of thirty-six sums.
    matrix = np.kron(_G, _G).astype(np.float32) + zero
    kernel = kernel.reshape(9, *kernel.shape[2:])
    return jnp.tensordot(matrix, kernel, 1, precision=_PRECISION)


def _transform_outputs(products: jax.Array, bands: _Bands) -> jax.Array:
    """A^T · tile · A: (36, tiles, o) to a band (photos, h, w, o)."""
    shape = (bands.photos, bands.rows, bands.columns, products.shape[-1])
    parts = products.reshape(_INPUTS, _INPUTS, *shape)
    parts = [parts[:, k] for k in range(_INPUTS)]
    columns = jnp.stack(_combine(_A_T, parts), axis=4)
    columns = jax.lax.optimization_barrier(columns)
    parts = [columns[k] for k in range(_INPUTS)]
    images = jnp.stack(_combine(_A_T, parts), axis=2)
    photos, rows, width, channels = shape
    return images.reshape(photos, rows * TILE, width * TILE, channels)


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    gate: jax.Array | None = None,
    *,
    relu: bool = False,
) -> jax.Array:
    """3×3 convolution with stride 1 and zero padding of 1.

    Args:
      images: (n, h, w, i) float32.
      kernel: (3, 3, i, o) float32.
      bias: (o,) float32; None for zeros.
      gate: (n, h, w, i) float32: images count as zero where it is not positive. None
        for all of them.
      relu: whether negative outputs become zero.

    Returns:
      (n, h, w, o) float32.
    """
    images = _gated(images, gate)
    n, height, width, _ = images.shape
    channels = max(kernel.shape[2:])
    transformed = _transform_kernel(kernel, _zero_after(images))
    bands = _make_bands(images.shape, channels, transformed.size)

    def add_band(index, outputs):
        tiles = _transform(_cut(images, bands, index, 1), _B_T, bands)
        products = jax.lax.dot_general(
            tiles, transformed, (((2,), (1,)), ((0,), (0,))), precision=_PRECISION
        )
        band = _transform_outputs(products, bands)
        band = band if bias is None else band + bias
        band = jnp.maximum(band, 0) if relu else band
        return jax.lax.dynamic_update_slice(outputs, band, _start(bands, index))

    shape = (n, bands.count[1] * bands.rows * TILE, bands.columns * TILE)
    # Every element is replaced. Zeros would be one array for all convolutions of a
    # program, which each of them would copy.
    outputs = jnp.full((*shape, kernel.shape[3]), images[0, 0, 0, 0])
    outputs = jax.lax.fori_loop(0, np.prod(bands.count), add_band, outputs)
    return outputs[:, :height, :width]


def weight_gradient(
    images: jax.Array, cotangent: jax.Array, gate: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Gradients of `convolve` with respect to its kernel and its bias.

    Args:
      images: (n, h, w, i) float32.
      cotangent: (n, h, w, o) float32, of the output.
      gate: (n, h, w, o) float32: the cotangent counts as zero where it is not
        positive. None for all of it.

    Returns:
      (3, 3, i, o) and (o,) float32.
    """
    cotangent = _gated(cotangent, gate)
    inputs, outputs = images.shape[-1], cotangent.shape[-1]
    size = _INPUTS**2 * inputs * outputs
    bands = _make_bands(images.shape, max(inputs, outputs), size)

    def add_band(total, index):
        tiles = _transform(_cut(images, bands, index, 1), _B_T, bands)
        errors = _transform(_cut(cotangent, bands, index, 0), _A_T.T, bands)
        products = jax.lax.dot_general(
            tiles, errors, (((1,), (1,)), ((0,), (0,))), precision=_PRECISION
        )
        return total + products, None

    total = jnp.full((_INPUTS**2, inputs, outputs), _zero_after(cotangent))
    total, _ = jax.lax.scan(add_band, total, jnp.arange(np.prod(bands.count)))
    matrix = np.kron(_G, _G).T.astype(np.float32)
    gradient = jnp.tensordot(matrix, total, 1, precision=_PRECISION)
    kernel = gradient.reshape(3, 3, inputs, outputs)
    return kernel, jnp.sum(cotangent, axis=(0, 1, 2))


def _gated(images: jax.Array, gate: jax.Array | None) -> jax.Array:
    return images if gate is None else jnp.where(gate > 0, images, 0)
