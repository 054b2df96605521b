"""The compressive autoencoder against its published counts and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.codec import experiment1, experiment2, experiment4
from vgg_unpool_jax.systems.compressive.model import (
    CompressiveAutoencoder,
    UnpaddedConv,
    make_model,
)
from vgg_unpool_jax.systems.compressive.quantizer import (
    dequantize,
    pass_through,
    quantize,
)


def _shapes(model):
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)


def _count(tree):
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("module", "count"),
    [(experiment1, 5_123_948), (experiment2, 4_085_564), (experiment4, 3_566_372)],
)
def test_the_published_numbers_of_parameters(module, count):
    params = _shapes(make_model(module.get_config()))["params"]
    assert _count(params) == count
    if module is experiment4:
        assert _count(params["encoder"]) == 878_360


def test_the_form_of_the_paper_by_hand():
    def conv(size, inputs, outputs):
        return size**2 * inputs * outputs + outputs

    blocks = 6 * conv(3, 128, 128)
    encoder = conv(5, 3, 64) + conv(5, 64, 128) + blocks + conv(5, 128, 96)
    decoder = conv(3, 96, 512) + blocks + conv(3, 128, 256) + conv(3, 64, 12)
    params = _shapes(CompressiveAutoencoder(96, "paper", "identity"))["params"]
    assert (_count(params["encoder"]), _count(params["decoder"])) == (encoder, decoder)


def test_five_by_five_at_stride_two_is_that_of_jax():
    keys = jax.random.split(jax.random.key(0), 3)
    arrays = jax.random.normal(keys[0], (2, 14, 18, 5))
    layer = UnpaddedConv(7, 5)
    params = layer.init(keys[1], arrays)["params"]
    params = {**params, "bias": jax.random.normal(keys[2], (7,))}
    expected = jax.lax.conv_general_dilated(
        arrays,
        params["kernel"],
        (2, 2),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    found = layer.apply({"params": params}, arrays)
    np.testing.assert_allclose(found, expected + params["bias"], rtol=1e-4, atol=1e-5)


def _torch_twin(channels):
    """The published program's network, in the order of its layers."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def conv(inputs, outputs, size, stride=1):
        return nn.Conv2d(
            inputs, outputs, size, stride, size // 2, padding_mode="replicate"
        )

    class Layer(nn.Module):
        def __init__(self, inputs, outputs, size=3, stride=1, *, shuffle=0, add=False):
            super().__init__()
            self.conv = conv(inputs, outputs, size, stride)
            self.shuffle = nn.PixelShuffle(2) if shuffle else nn.Identity()
            self.norm = nn.BatchNorm2d(outputs // 4 if shuffle else outputs)
            self.add = add

        def forward(self, x):
            y = nn.functional.leaky_relu(self.norm(self.shuffle(self.conv(x))), 0.01)
            return x + y if self.add else y

    encoder = nn.Sequential(
        Layer(3, 64, 5, 2),
        Layer(64, 128, 5, 2),
        *(Layer(128, 128, add=True) for _ in range(4)),
        conv(128, channels, 5, 2),
    )
    decoder = nn.Sequential(
        Layer(channels, 2048, shuffle=2),
        Layer(512, 128),
        *(Layer(128, 128, add=True) for _ in range(3)),
        Layer(128, 1024, shuffle=2),
        conv(256, 12, 3),
        nn.PixelShuffle(2),
        nn.Hardtanh(),
    )
    return torch, encoder, decoder


def _conv(module):
    kernel = module.weight.detach().numpy().transpose(2, 3, 1, 0)
    return {"kernel": kernel, "bias": module.bias.detach().numpy()}


def _copied(encoder, decoder):
    """Variables of the module from those of torch."""
    names = {
        "encoder": ["layer1", "layer2", *(f"block{i}" for i in range(1, 5)), "output"],
        "decoder": [
            "enlarge1",
            "layer",
            *(f"block{i}" for i in range(1, 4)),
            *("enlarge2", "output"),
        ],
    }
    params, stats = {}, {}
    for half, layers in (("encoder", encoder), ("decoder", decoder)):
        params[half], stats[half] = {}, {}
        for name, layer in zip(names[half], layers, strict=False):
            if name == "output":
                params[half][name] = _conv(layer)
                continue
            norm = {
                n: getattr(layer.norm, n).detach().numpy() for n in ("weight", "bias")
            }
            params[half][name] = {
                "conv": _conv(layer.conv),
                "norm": {"scale": norm["weight"], "bias": norm["bias"]},
            }
            mean, var = layer.norm.running_mean, layer.norm.running_var
            stats[half][name] = {"norm": {"mean": mean.numpy(), "var": var.numpy()}}
    return {"params": params, "batch_stats": stats}


def test_one_pass_agrees_with_torch():
    torch, encoder, decoder = _torch_twin(8)
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        decoder(encoder(images))  # so that the running statistics are not 0 and 1
        encoder.eval(), decoder.eval()
        latents = encoder(images)
        expected = (decoder(latents) + 1) / 2 * 255
    model = CompressiveAutoencoder(8, "code", "hard")
    variables = _copied(encoder, decoder)
    ours = images.numpy().transpose(0, 2, 3, 1) * 255
    found = jax.jit(model.apply, static_argnames="method")(
        variables, ours, method="encode"
    )
    np.testing.assert_allclose(
        found, latents.numpy().transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-4
    )
    found = jax.jit(model.apply)(variables, ours)
    np.testing.assert_allclose(found, expected.numpy().transpose(0, 2, 3, 1), atol=0.02)


@pytest.mark.parametrize(
    ("bits", "integers", "values"),
    [
        (3, [0, 1, 3, 3, 4, 7], [-1.5, -0.928571, 0.214286, 0.214286, 0.785714, 2.5]),
        (
            6,
            [0, 13, 24, 27, 38, 63],
            [-1.5, -0.674603, 0.023810, 0.214286, 0.912698, 2.5],
        ),
    ],
)
def test_the_published_integers(bits, integers, values):
    channel = jnp.asarray([-1.5, -0.7, 0.0, 0.2, 0.9, 2.5])
    latents = jnp.stack([channel, jnp.full(6, 3.0)], axis=-1)[None, None]
    found = quantize(latents, bits)
    np.testing.assert_array_equal(found.integers[0, 0, :, 0], integers)
    np.testing.assert_allclose(dequantize(found, bits)[0, 0, :, 0], values, atol=1e-6)
    # A constant channel stays what it is.
    np.testing.assert_array_equal(found.integers[0, 0, :, 1], 0)
    np.testing.assert_array_equal(dequantize(found, bits)[0, 0, :, 1], 3.0)


def test_gradients_through_the_quantiser():
    latents = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    keys = jax.random.split(jax.random.key(1), 1)
    weights = jnp.arange(32, dtype=jnp.float32).reshape(latents.shape)
    for gradient, factor in (("none", 0.0), ("identity", 1.0), ("noise", 1.0)):
        found = jax.grad(
            lambda x, g=gradient: jnp.sum(weights * pass_through(x, 3, g, keys))
        )(latents)
        np.testing.assert_allclose(found, factor * weights)
    noise = pass_through(latents, 3, "noise", keys) - latents
    low, high = latents.min(axis=(1, 2)), latents.max(axis=(1, 2))
    assert (jnp.abs(noise) <= (high - low) / 7 / 2 * 1.0001).all()
    assert float(jnp.std(noise[0, :, :, 0])) > 0.1 * float((high - low)[0, 0]) / 7
