"""Transposed convolution against lax, torch and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.ops import conv_transpose


def _arrays(size=(5, 4), kernel=(5, 5), inputs=3, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, *size, inputs)).astype(np.float32)
    weights = rng.standard_normal((*kernel, inputs, outputs)).astype(np.float32)
    return jnp.asarray(images), jnp.asarray(weights)


def _by_lax(images, kernel, stride, padding):
    return jax.lax.conv_transpose(
        images,
        kernel,
        (stride, stride),
        (padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _by_hand(images, kernel, stride, padding, size):
    """Every pixel paints the kernel, flipped, around its place."""
    taps, flipped = kernel.shape[:2], kernel[::-1, ::-1]
    n, height, width, _ = images.shape
    low, _ = padding
    # All that is painted, inside a margin of zeros for padding that reaches further.
    margin = 8
    full = [
        (length - 1) * stride + count + 2 * margin
        for length, count in zip((height, width), taps, strict=True)
    ]
    canvas = np.zeros((n, *full, kernel.shape[3]))
    for row, column in np.ndindex(height, width):
        painted = np.einsum("ni,abio->nabo", images[:, row, column], flipped)
        top, left = margin + row * stride, margin + column * stride
        canvas[:, top : top + taps[0], left : left + taps[1]] += painted
    top, left = (margin + count - 1 - low for count in taps)
    return canvas[:, top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "padding"),
    [
        ((1, 1), (0, 0)),
        ((2, 3), (0, 3)),
        ((4, 4), (2, 3)),
        ((5, 5), (5, 7)),
        ((3, 6), (4, 1)),
        ((5, 5), (3, -1)),
        ((4, 4), (-1, -2)),
    ],
)
def test_it_is_lax_conv_transpose(stride, kernel, padding):
    images, weights = _arrays(kernel=kernel)
    size = [
        (length - 1) * stride + 2 + sum(padding) - taps
        for length, taps in zip(images.shape[1:3], kernel, strict=True)
    ]
    if min(size) < 1:
        with pytest.raises(ValueError, match="leaves no output"):
            conv_transpose(images, weights, stride=stride, padding=padding)
        return
    ours = jax.jit(conv_transpose, static_argnames=("stride", "padding"))(
        images, weights, stride=stride, padding=padding
    )
    wanted = _by_hand(np.asarray(images), np.asarray(weights), stride, padding, size)
    assert ours.shape == wanted.shape
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4)
    if min(padding) >= 0:  # lax itself is wrong on CPUs for some negative paddings
        theirs = _by_lax(images, weights, stride, padding)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_its_gradients_are_those_of_lax():
    images, weights = _arrays()

    def energy(function):
        return lambda x, k: jnp.sum(jnp.sin(function(x, k)))

    ours = jax.grad(
        energy(lambda x, k: conv_transpose(x, k, stride=2, padding=(2, 3))), (0, 1)
    )(images, weights)
    theirs = jax.grad(energy(lambda x, k: _by_lax(x, k, 2, (2, 3))), (0, 1))(
        images, weights
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "padding", "output_padding"), [(5, 2, 1), (3, 1, 1), (4, 1, 0)]
)
def test_torch_layers_that_double_the_size(kernel, padding, output_padding):
    torch = pytest.importorskip("torch")
    images, weights = _arrays(kernel=(kernel, kernel))
    layer = torch.nn.ConvTranspose2d(
        3, 2, kernel, 2, padding, output_padding, bias=False
    )
    # torch has (in, out, k, k) and the kernel flipped in both directions.
    flipped = np.asarray(weights)[::-1, ::-1].transpose(2, 3, 0, 1).copy()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(flipped))
        inputs = torch.from_numpy(np.asarray(images).transpose(0, 3, 1, 2).copy())
        theirs = layer(inputs).numpy().transpose(0, 2, 3, 1)
    low = kernel - 1 - padding
    ours = conv_transpose(
        images, weights, stride=2, padding=(low, low + output_padding)
    )
    assert ours.shape == (2, 10, 8, 2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_single_pixel_paints_the_kernel_backwards():
    image = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(2.0)
    kernel = jnp.arange(1.0, 26.0).reshape(5, 5, 1, 1)
    output = conv_transpose(image, kernel, stride=2, padding=(2, 3))[0, :, :, 0]
    # The pixel stands at (2, 2) of the 6×6 output, and the kernel is centred on it.
    wanted = np.zeros((6, 6), np.float32)
    wanted[0:5, 0:5] = 2.0 * np.arange(1.0, 26.0).reshape(5, 5)[::-1, ::-1]
    np.testing.assert_array_equal(output, wanted)
