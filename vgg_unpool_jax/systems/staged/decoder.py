"""A decoder in five stages, each of which undoes two convolutions of VGG19.

    relu4_2 ─0→ pool3 ⇢ relu3_4 ─1→ relu3_2 ─2→ pool2
            ⇢ relu2_2 ─3→ pool1 ⇢ relu1_2 ─4→ RGB

A stage begins where features may be changed (at blockX_conv2) or where a pool is undone
(⇢): instead of switches the decoder gets what the pool has lost of its input,

    x' = max(up(p') + (x - up(pool(x))), 0)

with nearest neighbours. Unlike an `UnpoolingDecoder`, which is trained from end to end,
each stage is trained on the encoder's own features: it can take up features that were
changed just before it.

What a stage gets wrong of a photo is known there, because its input and its target are
features of the photo. `exact_stage` adds it:

    D(changed) + target - D(true)

so unchanged features give the photo back, whatever the training.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgg_unpool_jax.nets.convolution import AUTO, Convolution
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.nets.vgg19_layers import Convolution as Layer
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.ops.blocks import repeat_pixels
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS

# Where VGG19 is cut.
BLOCK = 4

_FORWARD = convolutions_up_to(BLOCK)
# The two convolutions that each stage undoes, in the order of the decoder.
STAGES: tuple[tuple[Layer, Layer], ...] = tuple(
    (_FORWARD[i + 1], _FORWARD[i]) for i in range(len(_FORWARD) - 2, -1, -2)
)
IMAGE = len(STAGES) - 1  # the stage that gives the image
# Blocks whose blockX_conv2 is the input of a stage, by the stage.
MOVED = {
    number: stage[0].block
    for number, stage in enumerate(STAGES)
    if stage[0].name.endswith("_conv2")
}


class Encoding(NamedTuple):
    """Features of photos at both ends of each stage.

    Attributes:
      inputs: of the five stages, (n, h_k, w_k, c_k), non-negative.
      targets: of the five stages; the last are the images (n, h, w, 3).
    """

    inputs: tuple[jax.Array, ...]
    targets: tuple[jax.Array, ...]


def encode(encoder: VGG19Encoder, params: Mapping, images: jax.Array) -> Encoding:
    """Encode images.

    Args:
      encoder: cut at `BLOCK`.
      params: its parameters.
      images: (n, h, w, 3) RGB in [0, 255]; sides are multiples of 8.
    """
    _, found = encoder.apply({"params": params}, images)
    inputs = tuple(found[stage[0].name] for stage in STAGES)
    targets = []
    for number in range(IMAGE):
        following = inputs[number + 1]
        targets.append(pool(following) if is_pooled(number) else following)
    return Encoding(inputs, (*targets, images))


def is_pooled(number: int) -> bool:
    """Whether a pool lies between the target of a stage and the next stage's input."""
    return number < IMAGE and STAGES[number][1].block != STAGES[number + 1][0].block


def pool(features: jax.Array) -> jax.Array:
    """Maximum of each 2×2 window, (n, h, w, c) to (n, h/2, w/2, c)."""
    n, height, width, c = features.shape
    return features.reshape(n, height // 2, 2, width // 2, 2, c).max(axis=(2, 4))


def unpool(pooled: jax.Array, features: jax.Array, target: jax.Array) -> jax.Array:
    """Undo a pool with what it lost of its own input.

    Args:
      pooled: (n, h/2, w/2, c), the decoder's.
      features: (n, h, w, c), the encoder's before the pool.
      target: (n, h/2, w/2, c), `pool` of them.

    Returns:
      (n, h, w, c), non-negative; `features` if `pooled` is `target`.
    """
    return jnp.maximum(features + repeat_pixels(pooled - target, 2), 0.0)


def place_maxima(
    pooled: jax.Array, features: jax.Array, target: jax.Array
) -> jax.Array:
    """Undo a pool with its switches alone, to be compared with `unpool`.

    Args:
      pooled: (n, h/2, w/2, c), the decoder's.
      features: (n, h, w, c), the encoder's before the pool.
      target: (n, h/2, w/2, c), `pool` of them.

    Returns:
      (n, h, w, c): `pooled` where `features` have a maximum, 0 elsewhere.
    """
    is_maximum = features == repeat_pixels(target, 2)
    return jnp.where(is_maximum, repeat_pixels(jnp.maximum(pooled, 0.0), 2), 0.0)


class StagedDecoder(nn.Module):
    """The ten mirrored convolutions; ReLU follows all but the last.

    Inputs and targets of a stage are divided by their channels' RMS over training
    photos, which the collection "statistics" holds (ones until they are measured).

    Attributes:
      output_scale: factor on the last convolution's output.
      initial_output: grey level in [0, 255] that the initial last bias gives.
      dtype: of activations and products; parameters are float32.
      convolution: an implementation of `ops.convolution.convolve`, or "auto".
    """

    output_scale: float = 64.0
    initial_output: float = 114.0
    dtype: Any = jnp.float32
    convolution: str = AUTO

    @nn.compact
    def stage(self, number: int, inputs: jax.Array) -> jax.Array:
        """Apply one stage.

        Args:
          number: 0 to 4.
          inputs: (n, h, w, c), as `Encoding.inputs`.

        Returns:
          (n, h, w, c') float32 like the target of the stage; an image is not clipped.
        """
        first, second = STAGES[number]
        last = number == IMAGE
        outputs = inputs.astype(jnp.float32) / self._rms(input_name(number), first)
        outputs = outputs.astype(self.dtype)
        for layer in (first, second):
            outputs = Convolution(
                layer.inputs,
                not (last and layer is second),
                self.convolution,
                kernel_init=nn.initializers.he_normal(),
                bias_init=nn.initializers.constant(
                    self.initial_output / self.output_scale
                    if last and layer is second
                    else 0.0
                ),
                name=layer.name,
            )(outputs)
        outputs = outputs.astype(jnp.float32)
        if last:
            return outputs * self.output_scale
        return outputs * self._rms(target_name(number), second, of_inputs=True)

    def __call__(self, inputs: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
        """All stages, each on its own input."""
        return tuple(self.stage(number, x) for number, x in enumerate(inputs))

    def _rms(self, name: str, layer: Layer, *, of_inputs: bool = False) -> jax.Array:
        channels = layer.inputs if of_inputs else layer.outputs
        rms = self.variable(STATISTICS, name, jnp.ones, (channels,), jnp.float32)
        return rms.value[None, None, None]


def input_name(number: int) -> str:
    """The RMS of a stage's input in the collection "statistics"."""
    return f"input{number}"


def target_name(number: int) -> str:
    """The RMS of a stage's target in the collection "statistics"."""
    return f"target{number}"


def exact_stage(
    decoder: StagedDecoder,
    variables: Mapping,
    number: int,
    changed: jax.Array,
    encoding: Encoding,
    undo_pool: Callable = unpool,
) -> jax.Array:
    """One stage and, behind a pool, its inversion; unchanged features are exact.

    Args:
      decoder: the module.
      variables: its variables.
      number: 0 to 4.
      changed: (n, h, w, c), the stage's input.
      encoding: of the photos.
      undo_pool: `unpool`; with `place_maxima` unchanged features are not exact.

    Returns:
      The next stage's input, or images on the scale of [0, 255].
    """
    true, target = encoding.inputs[number], encoding.targets[number]
    both = jnp.concatenate([changed, true])
    found = decoder.apply(variables, number, both, method="stage")
    ours, theirs = jnp.split(found, 2)
    outputs = ours + (target - theirs)
    if number == IMAGE:
        return outputs
    outputs = jnp.maximum(outputs, 0.0)
    if is_pooled(number):
        outputs = undo_pool(outputs, encoding.inputs[number + 1], target)
    return outputs


def decode(decoder: StagedDecoder, variables: Mapping, encoding: Encoding) -> jax.Array:
    """Images (n, h, w, 3) of the deepest features, stage by stage, not exact."""
    outputs = encoding.inputs[0]
    for number in range(len(STAGES)):
        if number and is_pooled(number - 1):
            target = encoding.targets[number - 1]
            outputs = unpool(outputs, encoding.inputs[number], target)
        outputs = decoder.apply(variables, number, outputs, method="stage")
    return outputs
