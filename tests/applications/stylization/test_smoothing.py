"""Smoothings by name."""

import numpy as np
import pytest

from vgg_unpool_jax.applications.stylization.guided_filter import guided_filter
from vgg_unpool_jax.applications.stylization.matting import matting_smooth
from vgg_unpool_jax.applications.stylization.smoothing import SMOOTHINGS, smooth


@pytest.fixture
def guide_and_image():
    return np.random.default_rng(0).uniform(0, 255, (2, 12, 12, 3))


def test_names_lead_to_their_functions_with_options(guide_and_image):
    guide, image = guide_and_image
    outputs = {
        "guided": guided_filter(guide, image, radius=2, eps=1e-3),
        "matting": matting_smooth(guide, image, beta=0.9).image,
        "none": image.astype(np.float32),
    }
    options = {"guided": {"radius": 2, "eps": 1e-3}, "matting": {"beta": 0.9}}
    assert set(outputs) == set(SMOOTHINGS)
    for name, wanted in outputs.items():
        result = smooth(name, guide, image, **options.get(name, {}))
        np.testing.assert_array_equal(result, wanted)


def test_wrong_names_options_and_shapes(guide_and_image):
    guide, image = guide_and_image
    with pytest.raises(ValueError, match="one of guided, matting, none, got 'blur'"):
        smooth("blur", guide, image)
    with pytest.raises(ValueError, match=r"no options, got .'radius'"):
        smooth("none", guide, image, radius=3)
    with pytest.raises(ValueError, match="wanted the same"):
        smooth("none", guide, image[:5])
