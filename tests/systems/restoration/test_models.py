"""The networks: parameter counts, forward passes against torch, photos of any size."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.restoration import base
from vgg_unpool_jax.nets.dropout import Dropout
from vgg_unpool_jax.systems.restoration.autoencoders import FORMS, Autoencoder
from vgg_unpool_jax.systems.restoration.densenet import DenseNet

SMALL_DENSENET = {"width": 6, "growth": 3, "blocks": (2, 1, 2), "last_block": 2}


def _model(name, widths=None):
    if name == "densenet":
        return DenseNet(**SMALL_DENSENET)
    levels, convolutions, skips = FORMS[name]
    return Autoencoder((widths or base.WIDTHS)[: levels + 1], convolutions, skips)


def _count(model):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.extended
def test_the_densenet_has_the_published_numbers_of_parameters():
    assert _count(DenseNet()) == 9_320_995
    assert _count(DenseNet(last_block=5)) == 9_358_819


def _by_hand(name):
    """Weights, biases and two numbers of each normalised channel."""
    levels, convolutions, skips = FORMS[name]
    c = base.WIDTHS[: levels + 1]
    more = convolutions - 1
    factor = 2 if skips == "append" else 1
    plain = [(3, c[0]), (factor * c[0], 3)]
    normalised = [(c[i], c[i + 1]) for i in range(levels)]
    normalised += [(i, i) for i in c] * more
    for i in range(levels):
        source = c[i + 1] * (1 if i + 1 == levels else factor)
        normalised += [(source, c[i]), *[(source, source)] * more]
    normalised += [(factor * c[0], factor * c[0])] * more
    layers = sum(9 * i * o + o for i, o in plain + normalised)
    return layers + sum(2 * o for _, o in normalised)


@pytest.mark.parametrize("name", FORMS)
def test_plain_networks_have_as_many_parameters_as_counted_by_hand(name):
    assert _count(_model(name)) == _by_hand(name)


def test_basic21_has_47395_parameters():
    # 3 -> 16 -> 32 -> 64 and back.
    layers = (448, 4_704, 18_624, 18_528, 4_656, 435)
    assert _count(_model("basic21")) == sum(layers) == 47_395


@pytest.mark.extended
def test_photos_of_any_size_are_padded_and_cropped():
    model = DenseNet(**SMALL_DENSENET)
    assert DenseNet().multiple == 32 and model.multiple == 4
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    apply = jax.jit(model.apply)
    odd = images[:, :61, :37]
    padded = np.pad(odd, ((0, 0), (0, 3), (0, 3), (0, 0)), mode="reflect")
    wanted = apply(variables, padded)[:, :61, :37]
    np.testing.assert_allclose(apply(variables, odd), wanted, atol=1e-3)
    assert float(wanted.min()) >= 0 and float(wanted.max()) <= 255


def test_dropout_draws_by_photo_and_not_in_evaluation():
    layer = Dropout(0.2)
    ones = jnp.ones((3, 40, 40, 5))
    keys = jax.random.split(jax.random.key(1), 3)
    dropped = np.asarray(layer.apply({}, ones, keys))
    np.testing.assert_allclose(np.unique(dropped), [0, 1.25])
    np.testing.assert_allclose((dropped == 0).mean(), 0.2, atol=0.01)
    alone = layer.apply({}, ones[:1], keys[1:2])
    np.testing.assert_array_equal(alone[0], dropped[1])
    np.testing.assert_array_equal(layer.apply({}, ones, None), ones)


# --- torch ----------------------------------------------------------------------------


class _Torch:
    """The published blocks, with the weights of Flax variables."""

    def __init__(self, variables):
        import torch

        self.t = torch
        self.f = torch.nn.functional
        flat = flax.traverse_util.flatten_dict(variables, sep="/")
        self.arrays = {
            name.removeprefix("params/").removeprefix("batch_stats/"): torch.tensor(
                np.asarray(array)
            )
            for name, array in flat.items()
        }

    def norm(self, x, name):
        stats = (self.arrays[f"{name}/{key}"] for key in ("mean", "var"))
        weights = (self.arrays[f"{name}/{key}"] for key in ("scale", "bias"))
        return self.f.batch_norm(x, *stats, *weights)

    def conv(self, x, name, stride=1):
        kernel = self.arrays[f"{name}/kernel"].permute(3, 2, 0, 1)
        bias, pad = self.arrays[f"{name}/bias"], kernel.shape[-1] // 2
        return self.f.conv2d(x, kernel, bias, stride, pad)

    def tconv(self, x, name, stride=1):
        """Of stride 1, Flax has a convolution with the kernel turned."""
        kernel = self.arrays[f"{name}/kernel"].flip(0, 1).permute(2, 3, 0, 1)
        bias = self.arrays[f"{name}/bias"]
        return self.f.conv_transpose2d(x, kernel, bias, stride, 1, stride - 1)

    def autoencoder(self, x, levels, convolutions, skips):
        relu = self.f.relu
        x = relu(self.conv(x, "input"))
        kept = []
        for level in range(levels + 1):
            name = f"down{level}"
            if level:
                x = relu(self.norm(self.conv(x, name, 2), f"{name}_norm"))
            if convolutions == 2:
                x = relu(self.norm(self.conv(x, f"{name}_1"), f"{name}_1_norm"))
            kept.append(x)
        for level in reversed(range(levels)):
            name = f"up{level}"
            if convolutions == 2:
                x = relu(self.norm(self.tconv(x, f"{name}_1"), f"{name}_1_norm"))
            x = relu(self.norm(self.tconv(x, name, 2), f"{name}_norm"))
            if skips == "add":
                x = x + kept[level]
            elif skips == "append":
                x = self.t.cat([x, kept[level]], 1)
        if convolutions == 2:
            x = relu(self.norm(self.tconv(x, "output_1"), "output_1_norm"))
        return self.t.tanh(self.tconv(x, "output"))

    def densenet(self, x, blocks, last_block, drawn):
        relu, f, cat = self.f.relu, self.f, self.t.cat

        def dense(x, count, name):
            seen, new = x, []
            for number in range(count):
                layer = f"{name}_{number}"
                new.append(self.conv(relu(self.norm(seen, f"{layer}_norm")), layer))
                seen = cat([seen, new[-1]], 1)
            return cat(new, 1)

        x, kept = relu(self.conv(x, "input")), []
        for level, count in enumerate(blocks[:-1]):
            x = cat([x, dense(x, count, f"down{level}")], 1)
            kept.append(x)
            name = f"down{level}_halve"
            if drawn:
                x = self.conv(relu(self.norm(x, f"{name}_norm")), name)
                x = f.avg_pool2d(x, 2)
            else:
                x = relu(self.norm(self.conv(x, name), f"{name}_norm"))
                x = f.max_pool2d(x, 2)
        x = dense(x, blocks[-1], "deepest")
        counts = [last_block, *blocks[1:-1]]
        for level in reversed(range(len(counts))):
            name = f"up{level}_double"
            if drawn:
                x = relu(self.norm(x, f"{name}_norm"))
            x = cat([kept[level], self.tconv(x, name, 2)], 1)
            x = dense(x, counts[level], f"up{level}")
        return self.t.tanh(self.tconv(x, "output"))


@pytest.mark.parametrize("name", FORMS)
def test_products_of_a_pixel_are_those_that_torch_counts(name):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    model = _model(name)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)
    with FlopCounterMode(display=False) as counter:
        _Torch(zeros).autoencoder(torch.zeros(1, 3, 32, 32), *FORMS[name])
    assert counter.get_total_flops() == 2 * 32**2 * base.PRODUCTS[name]


def _filled(model, images):
    """Variables with random statistics and biases, which begin at 0 and 1."""
    variables = jax.jit(model.init)(jax.random.key(0), images)
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: (
            x
            if x.ndim > 1
            else jnp.asarray(rng.uniform(0.5, 1.5, x.shape), jnp.float32)
        ),
        variables,
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("densenet", marks=pytest.mark.extended),
        "pyramidal52",
        pytest.param("pyramidal51cat", marks=pytest.mark.extended),
        pytest.param("as_drawn", marks=pytest.mark.extended),
    ],
)
def test_a_forward_pass_equals_torch(name):
    torch = pytest.importorskip("torch")
    if name in ("densenet", "as_drawn"):
        drawn = name == "as_drawn"
        transitions = "as_drawn" if drawn else "as_code"
        model = DenseNet(**SMALL_DENSENET, transitions=transitions)
    else:
        model = _model(name, (3, 4, 5, 4, 3, 4))
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)))
    variables = _filled(model, images)
    ours = jax.jit(model.apply)(variables, images)
    signed = torch.tensor(np.asarray(images).transpose(0, 3, 1, 2)) / 127.5 - 1
    other = _Torch(variables)
    if name in ("densenet", "as_drawn"):
        theirs = other.densenet(signed, (2, 1, 2), 2, drawn)
    else:
        theirs = other.autoencoder(signed, *FORMS[name])
    theirs = (theirs.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert theirs.std() > 1  # not saturated
    np.testing.assert_allclose(ours, theirs, atol=0.02)
