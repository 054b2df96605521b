"""The VAE: sizes, parameter counts, and one forward pass against torch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax.systems.vae.model import VAE, transposed_convolution

SMALL = {
    "image_size": 16,
    "latent_size": 5,
    "encoder_channels": (4, 6, 8),
    "decoder_channels": (8, 6, 4),
    "hidden_size": 12,
}


def _count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@functools.lru_cache
def _init(model):
    """Variables of a model; tests of the same model share them."""
    images = jnp.zeros((1, model.image_size, model.image_size, 3))
    return jax.jit(model.init)(jax.random.key(0), images)


def _shapes(model):
    images = jax.ShapeDtypeStruct((2, model.image_size, model.image_size, 3), "float32")
    return jax.eval_shape(model.init, jax.random.key(0), images)


def test_the_published_network_has_22764515_parameters():
    params = _shapes(VAE())["params"]
    assert _count(params["encoder"]) == 18_071_360
    assert _count(params["decoder"]) == 4_693_155
    assert _count(params) == 22_764_515


def test_the_layers_have_the_published_shapes():
    params = _shapes(VAE())["params"]
    kernels = {
        "/".join(str(key.key) for key in path[:-1]): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if path[-1].key == "kernel"
    }
    assert kernels == {
        "encoder/conv1": (5, 5, 3, 64),
        "encoder/conv2": (5, 5, 64, 128),
        "encoder/conv3": (5, 5, 128, 256),
        "encoder/dense": (16384, 1024),
        "encoder/mean": (1024, 128),
        "encoder/log_variance": (1024, 128),
        "decoder/dense": (128, 16384),
        "decoder/transposed_0": (5, 5, 256, 256),
        "decoder/transposed_1": (5, 5, 256, 128),
        "decoder/transposed_2": (5, 5, 128, 32),
        "decoder/output": (5, 5, 32, 3),
    }
    # Only the heads and the last convolution have a bias beside the normalisations'.
    biases = {
        path[1].key
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
        if path[-1].key == "bias" and path[-2].key != "batch_norm"
    }
    assert biases == {"mean", "log_variance", "output"}


def test_weights_begin_with_xaviers_normal_distribution():
    layer = transposed_convolution(128)
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 1, 1, 256)))
    kernel = variables["params"]["kernel"]
    # Both fans count the 25 taps.
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (25 * 384)), rtol=0.01)
    # Normal, not truncated: 819,200 draws go beyond four standard deviations.
    assert np.abs(kernel).max() > 4 * np.std(kernel)


def test_a_call_gives_images_and_what_made_them():
    model = VAE(**SMALL)
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)))
    variables = _init(model)
    outputs, intermediates = jax.jit(model.apply)(variables, images)
    assert outputs.shape == images.shape
    assert float(outputs.min()) >= 0 and float(outputs.max()) <= 255
    shapes = {name: value.shape for name, value in intermediates.items()}
    assert shapes == {
        "mean": (2, 5),
        "log_variance": (2, 5),
        "codes": (2, 5),
        "log_std": (),
    }
    np.testing.assert_array_equal(intermediates["codes"], intermediates["mean"])
    np.testing.assert_allclose(
        float(intermediates["log_std"]), np.log(0.125), rtol=1e-6
    )


def test_noise_moves_the_code_by_standard_deviations():
    model = VAE(**SMALL)
    images = jnp.zeros((2, 16, 16, 3))
    variables = _init(model)
    noise = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5)), jnp.float32)
    outputs, latent = jax.jit(model.apply)(variables, images, noise)
    wanted = latent["mean"] + noise * jnp.exp(latent["log_variance"] / 2)
    np.testing.assert_allclose(latent["codes"], wanted, rtol=1e-6)
    np.testing.assert_allclose(
        outputs,
        jax.jit(functools.partial(model.apply, method="decode"))(
            variables, latent["codes"]
        ),
        rtol=1e-5,
    )


def test_a_learned_standard_deviation_is_one_parameter_of_the_decoder():
    model = VAE(**SMALL, decoder_std=0.3, learn_decoder_std=True)
    plain = _count(_shapes(VAE(**SMALL))["params"])
    assert _count(_shapes(model)["params"]) == plain + 1
    images = jnp.zeros((1, 16, 16, 3))

    @jax.jit  # which leaves out all that is not returned
    def initial_log_std():
        return model.init(jax.random.key(0), images)["params"]["decoder"]["log_std"]

    log_std = initial_log_std()
    np.testing.assert_allclose(log_std, np.log(0.3), rtol=1e-6)
    variables = {"params": {"decoder": {"log_std": log_std}}}
    found = model.apply(variables, method="log_std")
    np.testing.assert_allclose(found, log_std)


def test_running_statistics_take_the_weight_that_torch_calls_one_minus_momentum():
    model = VAE(**SMALL, batch_norm_momentum=0.1)
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)))
    variables = _init(model)
    train = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    _, updated = jax.jit(train)(variables, images)
    running = updated["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]
    kernel = variables["params"]["encoder"]["conv1"]["kernel"]
    outputs = jax.lax.conv_general_dilated(
        images / 127.5 - 1,
        kernel,
        (2, 2),
        ((2, 2), (2, 2)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    wanted = 0.9 * jnp.mean(outputs, axis=(0, 1, 2))
    np.testing.assert_allclose(running, wanted, rtol=1e-4, atol=1e-6)


def _torch_vae(torch):
    """The published network in small, from its description."""
    nn = torch.nn

    class Flatten(nn.Module):
        def forward(self, x):
            # Torch's order is (channel, height, width); ours ends with the channel.
            return x.permute(0, 2, 3, 1).flatten(1)

    class Grid(nn.Module):
        def forward(self, x):
            return x.view(-1, 2, 2, 8).permute(0, 3, 1, 2)

    def conv(i, o):
        return nn.Conv2d(i, o, 5, 2, 2, bias=False)

    def tconv(i, o):
        return nn.ConvTranspose2d(i, o, 5, 2, 2, output_padding=1, bias=False)

    def norm(c, kind=nn.BatchNorm2d):
        return nn.Sequential(kind(c, momentum=0.9), nn.ReLU())

    flat = nn.BatchNorm1d
    encoder = nn.Sequential(
        *(conv(3, 4), norm(4), conv(4, 6), norm(6), conv(6, 8), norm(8), Flatten()),
        *(nn.Linear(32, 12, bias=False), norm(12, flat)),
    )
    heads = nn.Linear(12, 5), nn.Linear(12, 5)
    decoder = nn.Sequential(
        *(nn.Linear(5, 32, bias=False), norm(32, flat), Grid()),
        *(tconv(8, 8), norm(8), tconv(8, 6), norm(6), tconv(6, 4), norm(4)),
        *(nn.Conv2d(4, 3, 5, 1, 2), nn.Tanh()),
    )
    return encoder, heads, decoder


def _copy_weights(torch, variables, encoder, heads, decoder):
    def put(target, array):
        with torch.no_grad():
            target.copy_(torch.from_numpy(np.array(array)))

    def put_norm(sequence, name, part):
        put(sequence[0].weight, variables["params"][part][name]["batch_norm"]["scale"])
        put(sequence[0].bias, variables["params"][part][name]["batch_norm"]["bias"])
        statistics = variables["batch_stats"][part][name]["batch_norm"]
        put(sequence[0].running_mean, statistics["mean"])
        put(sequence[0].running_var, statistics["var"])

    ours = variables["params"]["encoder"]
    for place, name in ((0, "conv1"), (2, "conv2"), (4, "conv3")):
        put(encoder[place].weight, ours[name]["kernel"].transpose(3, 2, 0, 1))
    for place, name in ((1, "norm1"), (3, "norm2"), (5, "norm3"), (8, "dense_norm")):
        put_norm(encoder[place], name, "encoder")
    put(encoder[7].weight, ours["dense"]["kernel"].T)
    for head, name in zip(heads, ("mean", "log_variance"), strict=True):
        put(head.weight, ours[name]["kernel"].T)
        put(head.bias, ours[name]["bias"])
    ours = variables["params"]["decoder"]
    put(decoder[0].weight, ours["dense"]["kernel"].T)
    put_norm(decoder[1], "dense_norm", "decoder")
    for number in range(3):
        kernel = ours[f"transposed_{number}"]["kernel"]
        put(decoder[3 + 2 * number].weight, kernel[::-1, ::-1].transpose(2, 3, 0, 1))
        put_norm(decoder[4 + 2 * number], f"norms_{number}", "decoder")
    put(decoder[9].weight, ours["output"]["kernel"].transpose(3, 2, 0, 1))
    put(decoder[9].bias, ours["output"]["bias"])


@pytest.mark.parametrize("train", [False, True])
def test_one_forward_pass_is_that_of_torch(train):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    model = VAE(**SMALL)
    variables = _init(model)
    # Not the zeros and ones of the beginning, which hide mistakes.
    variables = jax.tree.map(
        lambda x: np.asarray(x + 0.1 * rng.uniform(size=x.shape), np.float32), variables
    )
    encoder, heads, decoder = _torch_vae(torch)
    _copy_weights(torch, variables, encoder, heads, decoder)
    encoder.train(train), decoder.train(train)
    with torch.no_grad():
        inputs = torch.from_numpy(images.transpose(0, 3, 1, 2) / 127.5 - 1)
        hidden = encoder(inputs)
        means, log_variances = (head(hidden) for head in heads)
        rebuilt = decoder(means).numpy().transpose(0, 2, 3, 1)
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    (outputs, latent), updated = jax.jit(apply)(variables, images)
    np.testing.assert_allclose(latent["mean"], means, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        latent["log_variance"], log_variances, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(outputs / 127.5 - 1, rebuilt, rtol=1e-3, atol=2e-4)
    if train:  # running values move to nine tenths of the batch's
        theirs = encoder[1][0].running_mean.numpy()
        ours = updated["batch_stats"]["encoder"]["norm1"]["batch_norm"]["mean"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
