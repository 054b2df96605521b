"""CIELAB, differentiable everywhere; CIEDE2000; and the luma of BT.601.

RGB is sRGB in [0, 255]; L is in [0, 100], a and b about in [-110, 110]; D65, 2°.

Source: IEC 61966-2-1 for sRGB; CIE 15 for CIELAB; Sharma, Wu and Dalal, "The CIEDE2000
color-difference formula", 2005. The numbers are those of scikit-image.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

_XYZ_OF_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_XYZ = np.float32(_XYZ_OF_RGB / _WHITE[:, None])
_TO_RGB = np.float32(np.linalg.inv(_XYZ_OF_RGB) * _WHITE)
# Accelerators multiply with 8 to 11 bits otherwise: several units of L.
_exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
_LINEAR_BELOW, _CUBE_ROOT_ABOVE, _CUBE_ABOVE = 0.04045, 0.008856, 0.2068966


def rgb_to_lab(images: jax.Array) -> jax.Array:
    """(..., 3) sRGB in [0, 255] to (..., 3) L, a, b."""
    rgb = images / 255.0
    is_dark = rgb <= _LINEAR_BELOW
    # The other branch gets harmless numbers, or its gradient would be NaN.
    bright = jnp.where(is_dark, 1.0, (rgb + 0.055) / 1.055)
    linear = jnp.where(is_dark, rgb / 12.92, bright**2.4)
    xyz = _exact(linear, _TO_XYZ.T)
    is_small = xyz <= _CUBE_ROOT_ABOVE
    root = jnp.cbrt(jnp.where(is_small, 1.0, xyz))
    f = jnp.where(is_small, 7.787 * xyz + 16.0 / 116.0, root)
    x, y, z = (f[..., channel] for channel in range(3))
    lab = [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    return jnp.stack(lab, axis=-1)


def lab_to_rgb(lab: jax.Array) -> jax.Array:
    """The inverse of `rgb_to_lab`, not clipped: colours that sRGB lacks leave it."""
    y = (lab[..., 0] + 16.0) / 116.0
    f = jnp.stack([y + lab[..., 1] / 500.0, y, y - lab[..., 2] / 200.0], axis=-1)
    xyz = jnp.where(f > _CUBE_ABOVE, f**3, (f - 16.0 / 116.0) / 7.787)
    linear = _exact(xyz, _TO_RGB.T)
    is_dark = linear <= 0.0031308
    bright = jnp.where(is_dark, 1.0, linear)
    rgb = jnp.where(is_dark, 12.92 * linear, 1.055 * bright ** (1 / 2.4) - 0.055)
    return 255.0 * rgb


def fit_into_rgb(lab: jax.Array) -> jax.Array:
    """RGB in [0, 255] with the luminance of `lab`, of reduced chroma where it must be.

    Args:
      lab: (..., 3) L in [0, 100], a, b.
    """
    luminance, chroma = lab[..., :1], lab[..., 1:]

    def rgb(share):
        return lab_to_rgb(jnp.concatenate([luminance, share * chroma], axis=-1))

    def fits(share):
        found = rgb(share)
        inside = (found > -1e-2) & (found < 255.0 + 1e-2)
        return jnp.all(inside, axis=-1, keepdims=True)

    low = jnp.zeros_like(luminance)
    step = 0.5
    for _ in range(10):
        low = jnp.where(fits(low + step), low + step, low)
        step /= 2
    whole = jnp.ones_like(luminance)
    return jnp.clip(rgb(jnp.where(fits(whole), whole, low)), 0.0, 255.0)


def luma(images):
    """(..., 3) RGB to luma (...) in [16, 235], as MATLAB's rgb2ycbcr; not rounded.

    It takes arrays of JAX and of NumPy.
    """
    red, green, blue = (images[..., channel] for channel in range(3))
    return 16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0


def ciede2000(lab1: jax.Array, lab2: jax.Array) -> jax.Array:
    """CIEDE2000 differences (...) of colours (..., 3); all weights are 1.

    Made to measure: the gradient of equal or grey colours is not finite.
    """
    l1, a1, b1, l2, a2, b2 = (x[..., c] for x in (lab1, lab2) for c in range(3))
    c7 = ((_norm(a1, b1) + _norm(a2, b2)) / 2) ** 7
    gray = 0.5 * (1 - jnp.sqrt(c7 / (c7 + 25.0**7)))
    a1, a2 = a1 * (1 + gray), a2 * (1 + gray)
    c1, c2 = _norm(a1, b1), _norm(a2, b2)
    turn = 2 * np.pi
    h1, h2 = (jnp.arctan2(b, a) % turn for a, b in ((a1, b1), (a2, b2)))
    is_gray = (c1 == 0) | (c2 == 0)
    difference = h2 - h1
    difference = jnp.where(difference > np.pi, difference - turn, difference)
    difference = jnp.where(difference < -np.pi, difference + turn, difference)
    difference = jnp.where(is_gray, 0.0, difference)
    mean = (h1 + h2) / 2
    is_far = jnp.abs(h1 - h2) > np.pi
    mean = jnp.where(is_far & (h1 + h2 < turn), mean + np.pi, mean)
    mean = jnp.where(is_far & (h1 + h2 >= turn), mean - np.pi, mean)
    mean = jnp.where(is_gray, h1 + h2, mean)
    degree = np.pi / 180
    t = (
        1
        - 0.17 * jnp.cos(mean - 30 * degree)
        + 0.24 * jnp.cos(2 * mean)
        + 0.32 * jnp.cos(3 * mean + 6 * degree)
        - 0.20 * jnp.cos(4 * mean - 63 * degree)
    )
    lightness, chroma = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    s_l = 1 + 0.015 * lightness**2 / jnp.sqrt(20 + lightness**2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    blue = 30 * degree * jnp.exp(-(((mean / degree - 275) / 25) ** 2))
    rotation = -2 * jnp.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * jnp.sin(2 * blue)
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / s_c
    d_h = 2 * jnp.sqrt(c1 * c2) * jnp.sin(difference / 2) / s_h
    squared = d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h
    return jnp.sqrt(jnp.maximum(squared, 0.0))


def _norm(a, b):
    return jnp.sqrt(a**2 + b**2)
