"""The staged decoder, its objective and start, and what loads a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.staged import vgg19
from configs.unpooling.base import make_config
from vgg_unpool_jax.errors import ConfigError, WeightsMismatchError
from vgg_unpool_jax.nets.vgg19 import VGG19Encoder
from vgg_unpool_jax.ops.pooling import max_pool_argmax, max_unpool
from vgg_unpool_jax.pretrained.vgg19 import random_vgg19_weights
from vgg_unpool_jax.systems import load_trained, train_and_evaluate
from vgg_unpool_jax.systems.saved import read_saved
from vgg_unpool_jax.systems.staged import start
from vgg_unpool_jax.systems.staged.decoder import (
    BLOCK,
    IMAGE,
    MOVED,
    STAGES,
    StagedDecoder,
    decode,
    encode,
    exact_stage,
    is_pooled,
    place_maxima,
    pool,
    unpool,
)
from vgg_unpool_jax.systems.staged.objective import BANK, _changed, from_config
from vgg_unpool_jax.systems.staged.trained import load_staged_decoder
from vgg_unpool_jax.systems.unpooling.decoder import STATISTICS

_ENCODER = VGG19Encoder(BLOCK, convolution="xla")


@pytest.fixture(scope="module")
def weights():
    return random_vgg19_weights(0, block=BLOCK)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 32, 24, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def encoding(weights, images):
    return jax.jit(lambda p, x: encode(_ENCODER, p, x))(weights.params, images)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = vgg19.get_config("runlocal")
    config.num_steps = 12
    config.evaluation.every_steps = config.checkpoints.every_steps = 6
    config.optimizer.average_decay = 0.0
    train_and_evaluate(config, folder)
    return folder


def test_stages_are_the_mirror_of_the_encoder(encoding, images):
    names = [[layer.name for layer in stage] for stage in STAGES]
    assert names[0] == ["block4_conv2", "block4_conv1"]
    assert names[1] == ["block3_conv4", "block3_conv3"]
    assert names[IMAGE] == ["block1_conv2", "block1_conv1"]
    assert MOVED == {0: 4, 2: 3, 3: 2, 4: 1}
    assert [is_pooled(number) for number in range(5)] == [1, 0, 1, 1, 0]
    channels = [x.shape[-1] for x in encoding.inputs]
    assert channels == [512, 256, 256, 128, 64]
    assert [x.shape[-1] for x in encoding.targets] == [256, 256, 128, 64, 3]
    np.testing.assert_array_equal(encoding.targets[IMAGE], images)
    # The encoder itself makes the following inputs of the targets.
    found = _ENCODER.apply({"params": random_vgg19_weights(0, block=4).params}, images)
    np.testing.assert_allclose(encoding.inputs[0], found[0], rtol=1e-5)


def test_number_of_parameters():
    counts = [9 * a.inputs * a.outputs + a.inputs for stage in STAGES for a in stage]
    x = [jax.ShapeDtypeStruct((1, 8, 8, s[0].outputs), jnp.float32) for s in STAGES]
    shapes = jax.eval_shape(StagedDecoder().init, jax.random.key(0), x)["params"]
    found = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    assert found == sum(counts) == 5_865_027


def test_a_pool_is_undone_by_what_it_lost():
    features = np.random.default_rng(1).uniform(0, 9, (1, 4, 6, 2)).astype(np.float32)
    pooled = pool(jnp.asarray(features))
    expected = features.reshape(1, 2, 2, 3, 2, 2).max(axis=(2, 4))
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(unpool(pooled, features, pooled), features)
    more = np.asarray(unpool(pooled + 2.0, features, pooled))
    np.testing.assert_allclose(more, features + 2.0, rtol=1e-6)
    assert np.asarray(unpool(pooled - 100.0, features, pooled)).max() == 0.0


@pytest.mark.extended
def test_unchanged_features_give_the_photo_back_whatever_the_parameters(
    encoding, images
):
    decoder = StagedDecoder(convolution="xla")
    variables = jax.jit(decoder.init)(jax.random.key(1), encoding.inputs)
    features = encoding.inputs[0]
    for number in range(len(STAGES)):
        features = exact_stage(decoder, variables, number, features, encoding)
        if number != IMAGE:
            np.testing.assert_allclose(
                features, encoding.inputs[number + 1], rtol=1e-4, atol=1e-3
            )
    np.testing.assert_allclose(features, images, atol=0.05)
    assert np.abs(decode(decoder, variables, encoding) - images).mean() > 20


def _encode(objective, images):
    return jax.jit(lambda p, x: encode(objective.encoder, p, x))(
        objective.frozen["encoder"], images
    )


@pytest.mark.extended
def test_changed_features_have_the_statistics_drawn_for_them(encoding):
    x = encoding.inputs[2][0]
    mean = jnp.full((1, x.shape[-1]), 1e4)
    deviation = jnp.full((1, x.shape[-1]), 5.0)
    others = [
        (jnp.zeros((1, y.shape[-1])), jnp.ones((1, y.shape[-1])))
        for y in encoding.inputs
    ]
    bank = [*others[:2], (mean, deviation), *others[3:]]
    one = [y[0] for y in encoding.inputs]
    shares = []
    for seed in range(20):
        found = _changed(one, jax.random.key(seed), bank)[2]
        shares.append(float(jnp.mean(found) / (1e4 - jnp.mean(x))))
        again = _changed(one, jax.random.key(seed), bank)[2]
        np.testing.assert_array_equal(found, again)
    # The strength is drawn evenly from 0 to 1.
    assert 0 <= min(shares) < 0.25 and 0.75 < max(shares) <= 1.01


def test_losses_are_those_of_each_stage_on_true_features(weights, images):
    config = vgg19.get_config("runlocal")
    objective = from_config(config)
    batch = {"image": images, "index": np.arange(2)}
    params, state = objective.init(jax.random.key(0), batch)
    keys = jax.random.split(jax.random.key(1), 2)
    state = {**state, "frozen": objective.frozen}
    compute = jax.jit(objective.losses, static_argnums=4)
    losses, aux = compute(params, state, batch, keys, False)
    encoding = _encode(objective, images)
    variables = {"params": params, STATISTICS: state[STATISTICS]}
    features = 0.0
    for number in range(IMAGE):
        output = objective.decoder.apply(
            variables, number, encoding.inputs[number], method="stage"
        )
        target = np.asarray(encoding.targets[number])
        rms = np.sqrt(np.square(target).mean((0, 1, 2)))
        rms = np.maximum(rms, 1e-3 * rms.max())
        features += (np.abs(output - target) / rms).mean()
    assert float(aux.terms["features"]) == pytest.approx(features, rel=1e-4)
    total = 0.1 * aux.terms["image"] + aux.terms["features"]
    assert float(losses["all"]) == pytest.approx(float(total), rel=1e-5)
    trained, aux = compute(params, state, batch, keys, True)
    assert float(aux.terms["reencoding"]) > 0
    total += 0.5 * aux.terms["reencoding"]
    assert float(trained["all"]) == pytest.approx(float(total), rel=1e-5)


def test_the_reencoding_compares_exact_outputs_with_changed_features(weights, images):
    objective = from_config(vgg19.get_config("runlocal"))
    batch = {"image": images, "index": np.arange(2)}
    params, state = objective.init(jax.random.key(0), batch)
    # Outputs that are 0 whatever the input: exact ones are the photo's own features,
    # from which VGG19 makes the unchanged ones.
    params = jax.tree.map(jnp.zeros_like, params)
    keys = jax.random.split(jax.random.key(1), 2)
    full = {**state, "frozen": objective.frozen}
    true = _encode(objective, images).inputs
    bank = [(4 * mean + 9, 3 * deviation) for mean, deviation in state[BANK]]
    changed = jax.jit(jax.vmap(_changed, in_axes=(0, 0, None)))(true, keys, bank)
    _, aux = jax.jit(objective.losses, static_argnums=4)(
        params, {**full, BANK: bank}, batch, keys, True
    )
    expected = sum(
        np.mean(np.abs(x - y) / np.asarray(state[STATISTICS][f"input{number}"]))
        for number, (x, y) in enumerate(zip(true, changed, strict=True))
    )
    assert expected > 1
    assert float(aux.terms["reencoding"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name,value", [("image", 0.0), ("reencoding", -1.0)])
def test_coefficients_that_make_no_sense_are_refused(name, value):
    config = vgg19.get_config("runlocal")
    config.loss[name] = value
    with pytest.raises(ConfigError, match=r"loss\.image and loss\.features"):
        from_config(config)


@pytest.mark.extended
def test_a_run_comes_back_from_workdir_and_file(workdir, tmp_path, images):
    model = load_trained(workdir)
    assert model.step == 12 and BANK not in model.variables
    assert "5,865,027 parameters after 12 steps" in model.describe()
    output = np.asarray(model.reconstruct(images[:, :30, :21]))
    assert output.shape == (2, 30, 21, 3) and 0 <= output.min() <= output.max() <= 255
    model.export(tmp_path / "style.safetensors")
    again = load_staged_decoder(tmp_path / "style.safetensors")
    np.testing.assert_array_equal(again.reconstruct(images[:, :30, :21]), output)
    first = model.encoder_params["block1_conv1"]
    model.encoder_params["block1_conv1"] = {**first, "bias": first["bias"] + 1}
    model.export(tmp_path / "other.safetensors")
    with pytest.raises(WeightsMismatchError):
        load_staged_decoder(tmp_path / "other.safetensors")


@pytest.mark.extended
def test_a_fitted_stage_undoes_two_convolutions(monkeypatch):
    monkeypatch.setattr(start, "POSITIONS", 6000)
    config, number = vgg19.get_config("runlocal"), 3
    objective = from_config(config)
    noise = np.random.default_rng(2).uniform(0, 255, (4, 16, 16, 3))
    photos = noise.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    batches, run = [photos[:2], photos[2:]], start._encoder_of(objective)
    state = start._measure(objective, run, batches)
    # Of all photos together.
    found = run(objective.frozen["encoder"], photos)[0]
    rms = np.sqrt(np.square(found.inputs[number]).mean((0, 1, 2)))
    measured = state[STATISTICS]["input3"]
    np.testing.assert_allclose(measured[rms > 1], rms[rms > 1], 1e-4)
    means = found.inputs[number].mean((1, 2))
    np.testing.assert_allclose(state[BANK][number][0], means[:2], rtol=1e-3, atol=0.1)
    rng = np.random.default_rng(0)
    fitted = start._fit_stage(
        objective, run, number, batches, 4, state[STATISTICS], rng
    )
    params = jax.jit(objective.decoder.init)(jax.random.key(0), found.inputs)["params"]

    def error(params):
        variables = {"params": params, STATISTICS: state[STATISTICS]}
        output = objective.decoder.apply(
            variables, number, found.inputs[number], method="stage"
        )
        return np.abs(output - found.targets[number]).mean()

    assert error({**params, **fitted}) < 0.3 * error(params)


@pytest.mark.extended
def test_the_last_stage_is_that_of_a_pair():
    config = vgg19.get_config("runlocal")
    config.initialize_shared_from = "vgg19-block1"
    objective = from_config(config)
    photos = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3), np.uint8)
    params, state = objective.init(
        jax.random.key(0), {"image": photos.astype(np.float32), "index": np.arange(2)}
    )
    found, state = start.prepare(config, objective, params, state, lambda *_: [photos])
    pair = read_saved("vgg19-block1", "unpooling").variables
    for layer in ("block1_conv2", "block1_conv1"):
        np.testing.assert_array_equal(
            found[layer]["kernel"], pair["params"][layer]["kernel"]
        )
    rms = pair[STATISTICS]["feature_rms"]
    np.testing.assert_array_equal(state[STATISTICS][f"input{IMAGE}"], rms)
    np.testing.assert_array_equal(
        found["block2_conv1"]["kernel"], params["block2_conv1"]["kernel"]
    )


@pytest.mark.extended
def test_the_start_refuses_what_does_not_fit(weights):
    config = vgg19.get_config("runlocal")
    objective = from_config(config)
    config.initialization = "orthogonal"
    with pytest.raises(ConfigError, match="one of he, closed_form, got 'orthogonal'"):
        start.prepare(config, objective, {}, {}, None)
    config.initialization, config.preparation.num_photos = "closed_form", 0
    with pytest.raises(ConfigError, match="num_photos must be positive"):
        start.prepare(config, objective, {}, {}, None)

    class Saved:
        config = make_config(2, "runlocal")

    with pytest.raises(ConfigError, match="a pair of block 1"):
        start._check_pair(config, Saved)


@pytest.mark.extended
def test_maxima_are_placed_where_the_switches_are():
    features = np.random.default_rng(0).uniform(0.1, 1, (2, 8, 6, 3)).astype("f")
    pooled, switches = max_pool_argmax(features)
    np.testing.assert_array_equal(pool(features), pooled)
    made = np.asarray(2 * pooled + 1)
    np.testing.assert_array_equal(
        place_maxima(made, features, pooled), max_unpool(made, switches)
    )
    # The residual keeps them there, and everything else of the features, too.
    np.testing.assert_allclose(unpool(pooled, features, pooled), features, rtol=1e-6)
    back, again = max_pool_argmax(unpool(made, features, pooled))
    np.testing.assert_allclose(back, made, rtol=1e-6)
    np.testing.assert_array_equal(again, switches)
