"""Features of the last photos."""

import types

import numpy as np

from vgg_unpool_jax.applications.stylization.kept_features import KeptFeatures


def test_features_of_the_last_photos_are_not_computed_again():
    encoded = []

    def encode(images):
        encoded.append(images)
        return 2 * images, ("switches",)

    kept = KeptFeatures(types.SimpleNamespace(encode=encode), count=2)
    images = np.random.default_rng(0).uniform(0, 255, (1, 16, 32, 3)).astype("f")
    changed = 255 - images
    for one in (images, changed, images, images[:, ::-1], images):
        np.testing.assert_array_equal(kept.encode(one)[0], 2 * one)
    assert len(encoded) == 3
    kept.encode(changed)  # the one that was not used for longest is gone
    assert len(encoded) == 4
