import numpy as np
import pytest

from vgg_unpool_jax.nets.vgg19_layers import VGG19_CONVOLUTIONS, convolutions_up_to
from vgg_unpool_jax.pretrained.vgg19 import arrays_sha256, random_vgg19_weights


def test_the_layer_table_has_the_published_number_of_parameters():
    total = sum(
        int(np.prod(layer.shape("kernel"))) + layer.outputs
        for layer in VGG19_CONVOLUTIONS
    )
    # Keras prints this number for VGG19(include_top=False).
    assert total == 20_024_384
    assert len(VGG19_CONVOLUTIONS) == 16


def test_torchvision_indices_are_those_of_its_features():
    # Written down from torchvision's configuration "E".
    assert [layer.torchvision_index for layer in VGG19_CONVOLUTIONS] == [
        *(0, 2, 5, 7),
        *(10, 12, 14, 16),
        *(19, 21, 23, 25),
        *(28, 30, 32, 34),
    ]


def test_random_weights_are_reproducible_and_say_what_they_are():
    first = random_vgg19_weights(7, block=2)
    second = random_vgg19_weights(7, block=2)
    assert first.origin == "random:seed=7"
    assert first.preprocessing == "caffe"
    assert first.sha256 == second.sha256 == arrays_sha256(second.params)
    assert first.sha256 != random_vgg19_weights(8, block=2).sha256
    assert list(first.params) == [layer.name for layer in convolutions_up_to(2)]
    for layer in convolutions_up_to(2):
        for kind in ("kernel", "bias"):
            array = first.params[layer.name][kind]
            assert array.shape == layer.shape(kind)
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, second.params[layer.name][kind])


def test_random_weights_of_two_cuts_agree_where_both_have_layers(assert_same_params):
    shallow = random_vgg19_weights(3, block=1).params
    deep = random_vgg19_weights(3, block=3).params
    assert_same_params({name: deep[name] for name in shallow}, shallow)


def test_random_weights_keep_the_scale_of_the_activations():
    rng = np.random.default_rng(0)
    # One image position: a convolution there is a product over 9 * inputs values.
    for layer in convolutions_up_to(2):
        kernel = random_vgg19_weights(block=2).params[layer.name]["kernel"]
        patches = np.maximum(rng.standard_normal((2000, 9 * layer.inputs)), 0)
        outputs = np.maximum(patches @ kernel.reshape(-1, layer.outputs), 0)
        assert np.mean(outputs**2) / np.mean(patches**2) == pytest.approx(1, rel=0.3)


def test_the_digest_depends_on_every_array():
    weights = random_vgg19_weights(block=1)
    for layer in weights.params.values():
        for array in layer.values():
            before = arrays_sha256(weights.params)
            array.flat[-1] += 1
            assert arrays_sha256(weights.params) != before
