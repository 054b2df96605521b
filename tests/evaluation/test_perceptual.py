"""LPIPS and DISTS of photos: published values, ranges, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax import load_dists, load_lpips
from vgg_unpool_jax.errors import WeightsError, WeightsMismatchError
from vgg_unpool_jax.evaluation.metrics import PERCEPTUAL_METRICS
from vgg_unpool_jax.evaluation.perceptual import (
    DISTS,
    LPIPS,
    available_metrics,
    compute_perceptual,
    load_recorded_metrics,
)
from vgg_unpool_jax.ops.photo_range import PhotoRangeWarning
from vgg_unpool_jax.pretrained.metric_heads import (
    DISTS_CHANNELS,
    LPIPS_CHANNELS,
    Heads,
)
from vgg_unpool_jax.pretrained.networks import NetworkWeights, random_network_weights


def _heads(channels, seed=0):
    rng = np.random.default_rng(seed)
    arrays = (rng.uniform(size=count).astype(np.float32) for count in channels)
    return Heads(tuple(arrays), "heads", "1" * 64)


@pytest.fixture(scope="module")
def metric():
    """LPIPS with weights that nobody has trained."""
    weights = random_network_weights("alexnet")
    return LPIPS("alex", weights, _heads(LPIPS_CHANNELS["alex"]))


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 32, 36, 3), np.uint8)
    return a, np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.float32)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("load", "pairs"),
    [
        # Measured with a forward pass in NumPy.
        (load_lpips, {("ex_ref", "ex_p0"): 0.7219, ("ex_ref", "ex_p1"): 0.1376}),
        pytest.param(
            lambda: load_lpips("vgg"),
            {("ex_ref", "ex_p0"): 0.5686, ("ex_ref", "ex_p1"): 0.4217},
            marks=pytest.mark.extended,
        ),
        # The authors' repository prints 0.3347.
        (load_dists, {("dists_r0", "dists_r1"): 0.33467}),
    ],
    ids=["LPIPS", "LPIPS-VGG", "DISTS"],
)
def test_the_values_of_example_pictures(load, pairs, perceptual_weights):
    def read(name):
        with Image.open(perceptual_weights / f"{name}.png") as image:
            return np.asarray(image.convert("RGB"))[None]

    metric = load()
    for names, wanted in pairs.items():
        found = float(metric(*map(read, names))[0])
        assert found == pytest.approx(wanted, abs=1e-4)


def test_equal_photos_have_no_distance_and_types_do_not_matter(metric, photos):
    a, b = photos
    found = np.asarray(metric(a, b))
    assert found.shape == (2,) and found.dtype == np.float32 and (found > 0).all()
    np.testing.assert_array_equal(metric(a, a), 0)
    np.testing.assert_allclose(metric(a.astype(np.float32), b), found, rtol=1e-6)
    np.testing.assert_allclose(metric(b, a), found, rtol=1e-5)
    parts = metric.by_layer(a, b)
    assert list(parts) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    np.testing.assert_allclose(sum(parts.values()), found, rtol=1e-5)


def test_the_map_is_where_photos_differ(metric, photos):
    a = photos[0]
    b = a.copy()
    b[:, :10, :10] = 255 - b[:, :10, :10]
    found = np.asarray(metric.map(a, b))
    assert found.shape == a.shape[:3]
    assert found[:, :10, :10].mean() > 3 * found[:, -10:, -10:].mean()


def test_values_and_gradients_are_those_of_torch(metric, photos):
    torch = pytest.importorskip("torch")
    layers = {
        name: jax.tree.map(np.array, x) for name, x in metric.params["net"].items()
    }

    def features(images):
        values = (images / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
            [0.229, 0.224, 0.225]
        )
        values = values.permute(0, 3, 1, 2)
        for name in metric.layers:
            kernel = torch.from_numpy(layers[name]["kernel"]).permute(3, 2, 0, 1)
            first = name == "conv1"
            options = {"stride": 4, "padding": 2} if first else {"padding": "same"}
            if name in ("conv2", "conv3"):
                values = torch.nn.functional.max_pool2d(values, 3, 2)
            values = torch.conv2d(values.double(), kernel.double(), **options).relu()
            yield values / (values.square().sum(1, keepdim=True).sqrt() + 1e-10)

    first, second = (torch.tensor(x, dtype=torch.float64) for x in photos)
    first.requires_grad_()
    wanted = 0
    pairs = zip(features(first), features(second), metric.params["heads"], strict=True)
    for x, y, head in pairs:
        head = torch.from_numpy(np.array(head)).double()[:, None, None]
        wanted = wanted + ((x - y).square() * head).sum(1).mean((1, 2))
    wanted.sum().backward()
    # Under `vmap` and `jit`, of photos one by one.
    one = jax.value_and_grad(lambda x, y: metric(x[None], y[None])[0])
    values, gradient = jax.jit(jax.vmap(one))(*map(jnp.float32, photos))
    np.testing.assert_allclose(values, wanted.detach(), rtol=1e-4)
    scale = float(first.grad.abs().max())
    np.testing.assert_allclose(gradient, first.grad, atol=1e-3 * scale)


def test_bfloat16_is_near(metric, photos):
    weights = random_network_weights("alexnet")
    half = LPIPS("alex", weights, _heads(LPIPS_CHANNELS["alex"]), jnp.bfloat16)
    a, b = (jnp.asarray(x, jnp.bfloat16) for x in photos)
    assert half(a, b).dtype == jnp.float32
    np.testing.assert_allclose(half(a, b), metric(*photos), rtol=0.05)


def test_other_ranges_and_shapes_are_told(metric, photos):
    a, b = photos
    with pytest.warns(PhotoRangeWarning, match=r"a has float32 .* in \[0, 1\] by 255"):
        metric(b / 255, a)
    with pytest.warns(PhotoRangeWarning, match="b has float32"):
        metric(a, b / 127.5 - 1)
    with pytest.raises(ValueError, match="divide 16-bit photos by 257"):
        metric(a, a.astype(np.uint16) * 257)
    with pytest.raises(ValueError, match="expected equal ones"):
        metric(a, b[:, :-1])
    with pytest.raises(ValueError, match="sides of at least 31 pixels"):
        metric(a[:, :30], b[:, :30])
    # What an evaluation leaves out instead; and it clips.
    assert compute_perceptual([metric], b[:, :30], a[:, :30]) == {}
    clipped = compute_perceptual([metric], np.where(b > 200, 900, b), a)["lpips"]
    np.testing.assert_allclose(clipped, metric(np.where(b > 200, 255, b), a), rtol=1e-5)


def test_weights_that_are_not_there_and_not_those_of_the_metric(metric, monkeypatch):
    names = list(PERCEPTUAL_METRICS)
    metrics, left_out = available_metrics(names)
    assert metrics == [] and list(left_out) == names
    assert "LPIPS_WEIGHTS" in str(left_out["lpips"])
    weights = random_network_weights("vgg16")
    facts = weights.params, "caffe", "keras:vgg16.h5", "0" * 64
    with pytest.raises(WeightsError, match=r"keras:vgg16\.h5 has the preprocessing"):
        DISTS(NetworkWeights(*facts), _heads(2 * DISTS_CHANNELS))
    module = "vgg_unpool_jax.evaluation.perceptual.load_metric"
    monkeypatch.setattr(module, lambda name, **_: metric)
    recorded = {"lpips": metric.record}
    assert load_recorded_metrics(["lpips"], recorded) == [metric]
    other = metric.record | {"heads": {"origin": "others", "sha256": "2" * 64}}
    with pytest.raises(WeightsMismatchError, match="began with others"):
        load_recorded_metrics(["lpips"], {"lpips": other})
