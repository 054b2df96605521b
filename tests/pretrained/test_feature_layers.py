"""Layers of pretrained networks, and how a run or a release finds its weights again."""

import pytest

from vgg_unpool_jax.errors import WeightsMismatchError
from vgg_unpool_jax.pretrained.feature_layers import (
    FeatureLayer,
    load_weights,
    released_record,
)
from vgg_unpool_jax.pretrained.networks import random_network_weights


def test_networks_are_recognised():
    layer = FeatureLayer("alexnet", "conv3")
    weights = random_network_weights("alexnet", seed=0)
    record = released_record(layer, weights)
    assert load_weights(layer, "", record).origin == weights.origin
    # Layers behind the inverted one do not matter.
    assert released_record(layer, weights) != released_record(
        FeatureLayer("alexnet", "conv4"), weights
    )
    record["layers_sha256"] = "0"
    with pytest.raises(WeightsMismatchError, match="was trained with random:alexnet"):
        load_weights(layer, "", record)
    assert FeatureLayer("vgg19", "block3_conv4").block == 4
    assert FeatureLayer("vgg19", "block3_conv4").stride == 4
