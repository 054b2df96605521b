"""L1, L2 and the perceptual loss: hand-computed values, torch, bad arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgg_unpool_jax import losses

ALL = [losses.l1, losses.l2, losses.perceptual]


def random_pair(shape=(2, 5, 7, 3), seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(0, 255, shape).astype(np.float32),
        rng.uniform(0, 255, shape).astype(np.float32),
    )


def test_l1_and_l2_of_hand_computed_images():
    targets = np.zeros((2, 1, 2, 1), np.float32)
    predictions = np.array([3.0, -1.0, 0.0, 10.0], np.float32).reshape(2, 1, 2, 1)
    assert losses.l1(predictions, targets) == 14 / 4
    assert losses.l2(predictions, targets) == 110 / 4
    assert losses.perceptual(predictions, targets) == 110 / 4


def test_black_against_white_gives_the_upper_bounds():
    black, white = np.zeros((1, 4, 4, 3)), np.full((1, 4, 4, 3), 255.0)
    assert losses.l1(black, white) == 255
    assert losses.l2(black, white) == 255**2


def test_they_equal_torch():
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    predictions, targets = random_pair()
    ours = [loss(predictions, targets) for loss in ALL]
    a, b = torch.from_numpy(predictions), torch.from_numpy(targets)
    mse = functional.mse_loss(a, b).item()
    np.testing.assert_allclose(
        ours, [functional.l1_loss(a, b).item(), mse, mse], rtol=1e-6
    )


def test_gradients_are_the_analytic_ones():
    predictions, targets = random_pair()
    difference = predictions - targets
    np.testing.assert_allclose(
        jax.grad(losses.l1)(predictions, targets),
        np.sign(difference) / difference.size,
        rtol=1e-6,
    )
    for loss in (losses.l2, losses.perceptual):
        np.testing.assert_allclose(
            jax.grad(loss)(predictions, targets),
            2 * difference / difference.size,
            rtol=1e-5,
        )


@pytest.mark.parametrize("loss", ALL)
def test_equal_images_give_zero_and_no_gradient(loss):
    images, _ = random_pair()
    value, gradient = jax.value_and_grad(loss)(images, images)
    assert value == 0
    assert np.all(gradient == 0)


@pytest.mark.parametrize("loss", ALL)
def test_jit_changes_nothing(loss):
    predictions, targets = random_pair()
    np.testing.assert_allclose(
        jax.jit(loss)(predictions, targets), loss(predictions, targets), rtol=1e-6
    )


@pytest.mark.parametrize("loss", ALL)
def test_low_precision_and_integers_are_widened_before_the_mean(loss):
    # 1 + 2^-8 steps: a bfloat16 mean over 40,000 values would stand still at 256.
    predictions = jnp.ones((1, 200, 200, 1), jnp.bfloat16)
    value = loss(predictions, jnp.zeros_like(predictions))
    assert value.dtype == jnp.float32
    assert value == 1
    bytes_ = np.zeros((1, 2, 2, 3), np.uint8)
    assert loss(bytes_, bytes_ + np.uint8(1)) == 1  # uint8 would wrap round to 255


@pytest.mark.parametrize(
    ("loss", "first", "second"),
    [
        (losses.l1, "predictions", "targets"),
        (losses.l2, "predictions", "targets"),
        (losses.ms_ssim, "predictions", "targets"),
        (losses.ms_ssim_loss, "predictions", "targets"),
        (losses.perceptual, "features_of_predictions", "features_of_targets"),
    ],
)
def test_bad_shapes_are_refused_with_names_and_shapes(loss, first, second):
    image = np.zeros((1, 176, 176, 3), np.float32)
    with pytest.raises(ValueError, match=rf"{first} has shape \(176, 176, 3\).*rank 4"):
        loss(image[0], image[0])
    with pytest.raises(ValueError, match=rf"{second} has shape \(176, 176, 3\)"):
        loss(image, image[0])
    # Shapes that NumPy would broadcast without a word.
    with pytest.raises(
        ValueError,
        match=rf"{first} has shape \(1, 176, 176, 3\) and {second} has shape "
        r"\(1, 176, 176, 1\); expected equal shapes",
    ):
        loss(image, image[..., :1])
    with pytest.raises(ValueError, match=rf"{first} has shape \(0, .*no empty"):
        loss(image[:0], image[:0])
