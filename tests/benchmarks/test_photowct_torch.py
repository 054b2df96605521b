"""PhotoWCT's loop in torch: its networks are ours, its transform is the published."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks.photowct_torch import (  # noqa: E402
    PhotoWCT,
    TorchPair,
    valid_labels,
    whiten_and_color,
)
from configs.unpooling.base import make_config  # noqa: E402
from vgg_unpool_jax.nets.vgg19_layers import (  # noqa: E402
    CHANNELS_PER_BLOCK,
    convolutions_up_to,
)
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights  # noqa: E402
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS  # noqa: E402
from vgg_unpool_jax.systems.unpooling.pair import Pair  # noqa: E402

RNG = np.random.default_rng


def random_pair(block):
    """A pair with every scale that a trained one has."""
    config = make_config(block, "runlocal")
    config.decoder.normalize_features = True
    config.decoder.output_scale = 64.0
    rng, params = RNG(block), {}
    for layer in convolutions_up_to(block):
        kernel = rng.standard_normal((3, 3, layer.outputs, layer.inputs), np.float32)
        params[layer.name] = {
            "kernel": kernel * np.sqrt(2 / (9 * layer.outputs)).astype(np.float32),
            "bias": rng.uniform(0, 1, layer.inputs).astype(np.float32),
        }
    rms = rng.uniform(20, 200, CHANNELS_PER_BLOCK[block - 1]).astype(np.float32)
    variables = {"params": params, STATISTICS: {"feature_rms": rms}}
    return Pair(config, random_vgg19_weights(0, block=block), variables, 0)


@pytest.fixture(scope="module")
def pairs():
    return {block: random_pair(block) for block in (1, 2)}


def noise(seed, size=(25, 19)):
    return RNG(seed).integers(0, 256, (*size, 3)).astype(np.float32)


def test_a_random_pair_reconstructs_as_ours_of_an_odd_size(pairs):
    photo = noise(1)
    ours = np.asarray(pairs[2].reconstruct(photo[None]))[0]
    theirs = TorchPair(pairs[2]).reconstruct(photo)
    # Not all black or white, which would agree whatever came before.
    assert ((ours > 0) & (ours < 255)).mean() > 0.3
    np.testing.assert_allclose(theirs, ours, atol=0.02)


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    kept = values >= 1e-5
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


def test_the_transform_is_the_published_formula():
    rng = RNG(3)
    content, style = rng.normal(3, 2, (6, 80)), rng.gamma(2, 2, (6, 50))
    style[5] = style[4]  # a direction without variance
    centred = content - content.mean(1, keepdims=True)
    whitening = power(np.cov(content) + 0.7 * np.eye(6), -0.5)
    wanted = power(np.cov(style), 0.5) @ whitening @ centred
    wanted += style.mean(1, keepdims=True)
    tensors = (torch.from_numpy(x.astype(np.float32)) for x in (content, style))
    got = whiten_and_color(*tensors, identity=0.7).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_labels_count_by_their_pixels_and_their_ratio():
    ours = np.repeat([1, 2, 3, 4, 5], [11, 10, 1100, 1101, 50])[None]
    theirs = np.repeat([1, 2, 3, 4, 6], [11, 50, 12, 11, 50])[None]
    assert valid_labels(ours, theirs) == [1, 3]
    assert valid_labels(np.ones((1, 1100), int), np.ones((1, 11), int)) == []


def test_the_loop_goes_from_coarse_to_fine_and_encodes_what_it_has_made(pairs):
    content, style = noise(5), noise(6, (20, 22)) / 3
    loop = PhotoWCT([pairs[1], pairs[2]])
    result = loop.stylize(content, style)
    assert list(loop.seconds) == ["style", "level 2", "level 1"]
    levels = {block: TorchPair(pairs[block]) for block in (1, 2)}
    with torch.no_grad():
        image = levels[2].image(content)
        targets, _ = levels[2].encode(levels[2].image(style))
        for block in (2, 1):
            features, indices = levels[block].encode(image)
            f, s = features[block][0], targets[block][0]
            mixed = whiten_and_color(f.flatten(1), s.flatten(1)).reshape(1, *f.shape)
            image = levels[block].decode(mixed, indices, (25, 19))
    wanted = image[0].permute(1, 2, 0).clamp(0, 255).numpy()
    assert result.shape == content.shape
    np.testing.assert_allclose(result, wanted, atol=0.05)


def test_regions_take_their_own_style_and_others_keep_their_features(pairs):
    content, style = noise(7, (24, 24)), noise(8, (24, 24)) / 3
    style[:, :12] += 120
    ours = np.repeat([[0] * 8 + [1] * 8 + [7] * 8], 24, axis=0)
    theirs = np.repeat([[0] * 12 + [1] * 12], 24, axis=0)
    copy = TorchPair(pairs[1])
    result = PhotoWCT([pairs[1]]).stylize(content, style, ours, theirs)
    with torch.no_grad():
        features, _ = copy.encode(copy.image(content))
        target, _ = copy.encode(copy.image(style))
        mixed, target = features[1].clone(), target[1]
        for label in (0, 1):
            inside, source = (torch.from_numpy(x == label) for x in (ours, theirs))
            mixed[0][:, inside] = whiten_and_color(
                features[1][0][:, inside], target[0][:, source]
            )
        wanted = copy.decode(mixed, [], (24, 24))[0].permute(1, 2, 0)
    np.testing.assert_allclose(result, wanted.clamp(0, 255).numpy(), atol=0.05)
    kept = copy.reconstruct(content)[:, 19:]
    np.testing.assert_allclose(result[:, 19:], kept, atol=0.05)
