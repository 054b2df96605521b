"""Evaluating VAEs of which every number can be computed by hand."""

import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vgg_unpool_jax.data import Split, make_source
from vgg_unpool_jax.data.folder import FolderSource
from vgg_unpool_jax.errors import PhotoError
from vgg_unpool_jax.evaluation import statistics
from vgg_unpool_jax.evaluation.evaluator import evaluate_split
from vgg_unpool_jax.evaluation.reports import INPUT, OUTPUT, TARGET
from vgg_unpool_jax.evaluation.results import write_results
from vgg_unpool_jax.io import json_file
from vgg_unpool_jax.losses import half_squared_error
from vgg_unpool_jax.systems.vae import pictures as vae_pictures
from vgg_unpool_jax.systems.vae import report as vae_report
from vgg_unpool_jax.systems.vae.latents import latent_statistics
from vgg_unpool_jax.systems.vae.report import VAEReport
from vgg_unpool_jax.training.step import photo_keys

SIDE = 12  # SSIM's window of 11 fits
VALUES = 3 * SIDE**2
# Grey levels of flat photos. Mean and spread of the last two are unlike the others'.
LEVELS = np.array([40, 60, 80, 100, 120, 200, 240])
# Of a dimension without noise: its standard deviation is 1e-13.
CERTAIN = -60.0


class FlatVAE:
    """Rebuilds flat photos; a code is (brightness as a share of white, the same / 2).

    Args:
      bend: maps the brightness of a code to that of its image; None is the identity.
      log_variance: of the brightness; the other number, which is not decoded, has 0.5.
      log_std: logarithm of the standard deviation of p(x|z).
    """

    image_size, latent_size = SIDE, 2

    def __init__(self, bend=None, log_variance=CERTAIN, log_std=-1.5):
        self._bend = bend or (lambda share: share)
        self._log_variances = jnp.array([log_variance, 0.5])
        self._log_std = log_std

    def encode(self, images):
        shares = jnp.mean(jnp.asarray(images), axis=(1, 2, 3)) / 255.0
        means = jnp.stack([shares, shares / 2], axis=1)
        return means, jnp.broadcast_to(self._log_variances, means.shape)

    def apply(self, variables, codes, method):
        """As the Flax module that a report decodes with."""
        assert method == "decode"
        return self.decode(codes)

    def decode(self, codes):
        levels = 255.0 * self._bend(jnp.asarray(codes)[:, 0])
        shape = (len(levels), SIDE, SIDE, 3)
        return jnp.broadcast_to(levels[:, None, None, None], shape)

    def outputs(self, batch):
        """What the objective of a VAE returns of photos."""
        images = jnp.asarray(batch["image"], jnp.float32)
        means, log_variances = self.encode(images)
        keys = photo_keys(jax.random.key(0), batch["index"])
        noise = jax.vmap(lambda key: jax.random.normal(key, means.shape[1:]))(keys)
        drawn = self.decode(means + noise * jnp.exp(0.5 * log_variances))
        return {
            INPUT: images,
            OUTPUT: self.decode(means),
            TARGET: images,
            "mean": means,
            "log_variance": log_variances,
            "half_squared_error": half_squared_error(drawn / 127.5, images / 127.5),
            "log_std": jnp.full(len(images), self._log_std),
        }


class Score:
    """An evaluation, and the VAE's own numbers under short names."""

    def __init__(self, evaluation):
        own = evaluation.to_dict()["vae"]
        self.reconstruction = evaluation
        self.metrics = evaluation.system_report._summaries(evaluation.collected)
        self.pcc, self.frechet = own["pcc"], own["frechet_vgg19_block3"]
        self.calibrated_elbo = own["calibrated_elbo"]
        self.calibrated_std = own["calibrated_std"]
        collected = evaluation.collected
        self.latents = latent_statistics(collected["mean"], collected["log_variance"])
        self.to_dict, self.scalars = evaluation.to_dict, evaluation.scalars
        self.report, self.pictures = evaluation.report, evaluation.pictures


def _bend(share):
    return share * jnp.abs(share)


def _colours(images):
    """Features: the mean of each colour, (n, 3)."""
    return jnp.mean(images, axis=(1, 2))


def _write(folder, levels, names=None):
    for number, level in enumerate(levels):
        path = folder / (names[number] if names else f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (int(level),) * 3).save(path)


def _part(folder, indices=None):
    source = make_source(f"folder:{folder}")
    return Split(source, np.arange(len(source)) if indices is None else indices)


def _evaluate(vae, part, batch_size=3, **options):
    options = {"crop": "center_resize", **options}
    report = VAEReport(
        types.SimpleNamespace(model=vae),
        features=options.pop("features", None),
        decode=vae.decode,
        tsne=True,
    )
    evaluation = evaluate_split(
        vae.outputs,
        report,
        part.source,
        part.indices,
        image_size=SIDE,
        batch_size=batch_size,
        **options,
    )
    return Score(evaluation)


def _numbers(score):
    """All numbers of a score by their place in the result file."""

    def flatten(tree, place):
        if isinstance(tree, dict):
            for name, entry in tree.items():
                yield from flatten(entry, f"{place}/{name}")
        elif isinstance(tree, list | tuple):
            for number, entry in enumerate(tree):
                yield from flatten(entry, f"{place}/{number}")
        elif tree is not None:
            yield place, tree

    return dict(flatten(score.to_dict(), ""))


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the pictures out, which take longer than everything else."""
    monkeypatch.setattr(vae_report, "draw_latents", lambda *_, **__: {})
    monkeypatch.setattr(vae_report, "draw_tsne", lambda *_: None)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """The flat photos of LEVELS, in this order."""
    folder = tmp_path_factory.mktemp("levels")
    _write(folder, LEVELS)
    return _part(folder)


@pytest.fixture(scope="module")
def score(part):
    """Of a VAE that bends brightness; batches of three, the last one with two holes."""
    return _evaluate(FlatVAE(_bend), part, features=_colours)


def _by_hand(levels=LEVELS, log_std=-1.5):
    """What `score` should be."""
    shares = levels / 255.0
    rebuilt = 255.0 * shares**2
    error = rebuilt - levels
    # On the scale of [-1, 1] a grey level is 2/255.
    half_squares = 0.5 * VALUES * np.mean((error / 127.5) ** 2)
    certain = 0.5 * (np.mean(shares**2) + math.exp(CERTAIN) - 1.0 - CERTAIN)
    other = 0.5 * (np.mean(shares**2) / 4 + math.exp(0.5) - 1.0 - 0.5)
    log_likelihood = -half_squares * math.exp(-2 * log_std) - VALUES * (
        log_std + 0.5 * math.log(2 * math.pi)
    )
    return {
        "error": error,
        "rebuilt": rebuilt,
        "mse": np.mean((error / 255.0) ** 2),
        "kl_per_dimension": [certain, other],
        "kl": certain + other,
        "log_likelihood": log_likelihood,
        "elbo": log_likelihood - certain - other,
        "calibrated_std": np.sqrt(np.mean((error / 127.5) ** 2)),
    }


# --- numbers --------------------------------------------------------------------------


def test_every_metric_is_over_all_photos(score):
    wanted = _by_hand()
    for name in ("mse", "kl", "log_likelihood", "elbo"):
        assert score.metrics[name].photos == len(LEVELS)
        assert score.metrics[name].mean == pytest.approx(wanted[name], rel=1e-5), name
    of_photos = score.reconstruction.metrics
    assert of_photos["l1"].mean == pytest.approx(
        np.mean(np.abs(wanted["error"])), rel=1e-5
    )
    assert of_photos["l1"].photos == len(LEVELS)
    assert set(score.metrics) == {
        "photo_pcc",
        "ssim_zero_padded",
        "mse",
        "elbo",
        "log_likelihood",
        "kl",
    }


def test_the_correlation_is_one_over_all_values_of_all_photos(score):
    # Within a flat photo nothing varies, and the mean over photos is 0.
    assert score.metrics["photo_pcc"].mean == 0.0
    wanted = np.corrcoef(_by_hand()["rebuilt"], LEVELS)[0, 1]
    assert 0.9 < wanted < 0.99
    assert score.pcc == pytest.approx(wanted, rel=1e-6)


def test_the_latents_are_those_of_all_photos(score):
    latents, shares = score.latents, LEVELS / 255.0
    assert latents.photos == len(LEVELS)
    np.testing.assert_allclose(latents.kl, _by_hand()["kl_per_dimension"], rtol=1e-5)
    np.testing.assert_allclose(
        latents.variance_of_means, [np.var(shares), np.var(shares / 2)], rtol=1e-5
    )
    assert latents.active_units == 2
    assert latents.total_kl == pytest.approx(score.metrics["kl"].mean, rel=1e-6)


def test_the_calibrated_elbo_is_the_one_at_the_best_standard_deviation(
    score, part, undrawn
):
    wanted = _by_hand()
    std = wanted["calibrated_std"]
    assert score.calibrated_std == pytest.approx(std, rel=1e-5)
    best = -0.5 * VALUES * (math.log(2 * math.pi * std**2) + 1.0) - wanted["kl"]
    assert score.calibrated_elbo == pytest.approx(best, rel=1e-5)
    # The same by the definition: a VAE of that very standard deviation has this ELBO,
    # and one of any other less.
    again = _evaluate(FlatVAE(_bend, log_std=math.log(std)), part)
    assert again.metrics["elbo"].mean == pytest.approx(best, rel=1e-5)
    assert again.calibrated_elbo == pytest.approx(best, rel=1e-5)
    for factor in (0.9, 1.1):
        assert _by_hand(log_std=math.log(factor * std))["elbo"] < best - 1.0


@pytest.mark.extended
@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_batch_size_changes_no_number(batch_size, score, part, undrawn):
    other = _evaluate(FlatVAE(_bend), part, batch_size, features=_colours)
    assert _numbers(other).keys() == _numbers(score).keys()
    # Other shapes are summed up in another order.
    assert _numbers(other) == pytest.approx(_numbers(score), rel=1e-4, abs=1e-6)


def test_reconstructions_come_from_the_mean_and_only_the_elbo_from_a_draw(
    part, undrawn, monkeypatch
):
    monkeypatch.setattr(statistics, "LEAST_PHOTOS", 2)
    # Noise with a standard deviation of 255 grey levels.
    noisy = FlatVAE(lambda share: share + 0.02, log_variance=0.0)
    score = _evaluate(noisy, part, features=_colours)
    assert score.reconstruction.metrics["l1"].mean == pytest.approx(5.1, rel=1e-5)
    assert score.metrics["mse"].mean == pytest.approx(0.02**2, rel=1e-4)
    assert score.pcc == pytest.approx(1.0, abs=1e-9)
    assert score.frechet["frechet_reconstructions"] == pytest.approx(
        3 * 5.1**2, rel=1e-4
    )
    # The error on [-1, 1] is twice the noise; the mean of its square tells the noise's.
    noise = score.calibrated_std / 2
    assert 0.5 < noise < 1.6
    low, high = score.metrics["log_likelihood"].interval
    assert high - low > 100.0  # every photo has noise of its own

    assert _numbers(_evaluate(noisy, part, features=_colours)) == _numbers(score)
    one_by_one = _evaluate(noisy, part, 1, features=_colours)
    assert _numbers(one_by_one) == pytest.approx(_numbers(score), rel=1e-4)


def test_no_error_at_all_has_an_infinite_calibrated_elbo(tmp_path, undrawn):
    _write(tmp_path, [0, 0])
    score = _evaluate(FlatVAE(jnp.round), _part(tmp_path))
    assert (score.calibrated_std, score.calibrated_elbo) == (0.0, math.inf)
    assert "inf nats" in score.report()


# --- Fréchet distances ----------------------------------------------------------------


def test_the_frechet_distance_of_reconstructions_is_over_all_photos(score):
    # Three equal colours: three times the distance of two normal distributions.
    rebuilt = _by_hand()["rebuilt"]
    means = (rebuilt.mean() - LEVELS.mean()) ** 2
    deviations = (rebuilt.std(ddof=1) - LEVELS.std(ddof=1)) ** 2
    assert score.frechet["frechet_reconstructions"] == pytest.approx(
        3.0 * (means + deviations), rel=1e-5
    )
    assert score.frechet.keys() == {"frechet_reconstructions", "frechet_samples"}


def test_the_frechet_distance_of_samples_is_that_of_decoded_codes(part, undrawn):
    flat = FlatVAE(lambda share: jnp.full_like(share, 2.0))  # brighter than white
    score = _evaluate(flat, part, features=_colours)
    means = (255.0 - LEVELS.mean()) ** 2
    assert score.frechet["frechet_samples"] == pytest.approx(
        3.0 * (means + LEVELS.var(ddof=1)), rel=1e-5
    )


def test_as_many_samples_as_photos_are_drawn_from_the_prior(part, undrawn):
    seen = []

    class Watched(FlatVAE):
        def decode(self, codes):
            seen.append(np.asarray(codes))
            return super().decode(codes)

    _evaluate(Watched(), part, features=_colours)
    # Padded to 32 codes: those of the samples, and those of the pictures.
    (drawn,) = {
        codes[:7].tobytes(): codes[:7]
        for codes in seen
        if len(codes) == 32 and not np.any(codes[7:])
    }.values()
    assert drawn.shape == (7, 2)
    assert len(np.unique(drawn)) == 14
    # Both signs and about one wide; the codes of photos are all in (0, 1).
    assert drawn.min() < 0 < drawn.max()
    assert 0.4 < np.sqrt(np.mean(drawn**2)) < 1.8


def test_without_features_there_is_no_frechet_distance(part, undrawn, score):
    without = _evaluate(FlatVAE(_bend), part)
    assert without.frechet == {}
    assert "Fréchet" not in without.report()
    assert score.report().count("Fréchet distance of VGG19 features") == 2


# --- labels and pictures --------------------------------------------------------------


@pytest.fixture
def maps(monkeypatch):
    """What latent maps are asked for: {title: (points, labels)}."""
    asked = {}

    def latent_map(points, labels, *, title, axis_names):
        asked[title] = (np.asarray(points), list(labels))
        return np.zeros((6, 8, 3), np.uint8)

    monkeypatch.setattr(vae_pictures, "latent_map", latent_map)
    return asked


def test_class_folders_label_the_photos_of_the_latent_map(tmp_path, maps):
    names = [f"{'dark' if level < 100 else 'light'}/{level}.png" for level in LEVELS]
    _write(tmp_path, LEVELS, names)
    source = make_source(f"folder:{tmp_path}")
    order = np.array([5, 0, 6, 2, 1])  # neither all photos nor in their order
    score = _evaluate(FlatVAE(), Split(source, order), batch_size=2)
    assert maps.keys() == {"posterior means", "posterior means of 5 photos by t-SNE"}
    points, labels = maps["posterior means"]
    in_order = sorted(order)
    wanted = [int(source.name(index).split("/")[1][:-4]) for index in in_order]
    np.testing.assert_allclose(points[:, 0], np.array(wanted) / 255.0, rtol=1e-5)
    np.testing.assert_allclose(points[:, 1], points[:, 0] / 2, rtol=1e-5)
    assert labels == ["dark" if level < 100 else "light" for level in wanted]
    assert set(labels) == {"dark", "light"}
    points, again = maps["posterior means of 5 photos by t-SNE"]
    assert points.shape == (5, 2)
    assert again == labels
    assert {"latent_map", "latent_tsne"} <= score.pictures().keys()


def test_a_class_that_cannot_be_read_costs_no_evaluation(tmp_path, maps, caplog):
    _write(tmp_path, [10, 20, 30], ["a/0.png", "b/1.png", "b/2.png"])

    class Forgetful(FolderSource):
        def label(self, index):
            if index == 1:
                raise PhotoError("the record of 1.png is damaged")
            return super().label(index)

    score = _evaluate(FlatVAE(), Split(Forgetful(tmp_path), np.arange(3)))
    assert score.latents.photos == 3
    assert maps["posterior means"][1] == ["a", None, "b"]
    assert "the record of 1.png is damaged" in caplog.text


def test_photos_that_were_left_out_leave_their_labels_out(tmp_path, maps):
    names = ["a/0.png", "b/1.png", "b/3.png", "a/4.png"]
    _write(tmp_path, [10, 20, 30, 40], names)
    (tmp_path / "b" / "2.png").write_bytes(b"no photo")
    Image.new("RGB", (5, 5)).save(tmp_path / "a" / "5.png")
    score = _evaluate(
        FlatVAE(),
        _part(tmp_path),
        batch_size=4,
        crop="center",
        max_broken_share=0.5,
        features=_colours,
    )
    assert score.latents.photos == score.metrics["kl"].photos == 4
    assert list(score.reconstruction.broken) == ["b/2.png"]
    assert list(score.reconstruction.too_small) == ["a/5.png"]
    points, labels = maps["posterior means"]
    assert labels == ["a", "a", "b", "b"]  # in the order of names: 0, 4, 1, 3
    np.testing.assert_allclose(255.0 * points[:, 0], [10, 40, 20, 30], rtol=1e-5)
    # Black fillers would be as good as any photo here, were they counted.
    assert score.latents.aggregate_mean[0] == pytest.approx(25.0 / 255.0, rel=1e-5)


def test_a_source_without_classes_has_maps_without_labels(score):
    assert score.pictures().keys() == {
        "evaluation",
        "samples",
        "interpolation",
        "traversal",
        "kl_per_dimension",
        "latent_map",
        "latent_tsne",
    }
    for name, picture in score.pictures().items():
        assert picture.dtype == np.uint8 and picture.ndim == 3, name
        assert picture.shape[2] == 3 and picture.min() < picture.max(), name


def test_a_single_photo_can_be_evaluated(tmp_path):
    _write(tmp_path, [100])
    score = _evaluate(FlatVAE(_bend), _part(tmp_path), features=_colours)
    assert score.metrics["mse"].photos == score.latents.photos == 1
    assert score.metrics["mse"].interval is None
    assert score.metrics["mse"].mean == pytest.approx(
        _by_hand(LEVELS[3:4])["mse"], rel=1e-5
    )
    assert math.isnan(score.pcc)  # one flat photo has nothing to correlate
    assert score.frechet == {}  # nor a covariance
    assert score.latents.active_units == 0
    pictures = score.pictures()
    assert {"samples", "traversal", "latent_map", "evaluation"} <= pictures.keys()
    assert not {"interpolation", "latent_tsne"} & pictures.keys()
    assert "PCC over all values: nan" in score.report()
    write_results(tmp_path / "results.json", score.to_dict())
    assert json_file.read(tmp_path / "results.json")["vae"]["pcc"] == "nan"


def test_results_are_what_a_file_holds(score, tmp_path):
    path = tmp_path / "results.json"
    write_results(path, score.to_dict())
    found = json.loads(path.read_text())
    assert found["metrics"]["l1"]["photos"] == len(LEVELS)
    own = found["vae"]
    assert own["metrics"]["elbo"]["mean"] == score.metrics["elbo"].mean
    assert own["pcc"] == score.pcc
    assert own["calibrated_elbo"] == score.calibrated_elbo
    assert own["latents"]["active_units"] == 2
    assert own["frechet_vgg19_block3"] == score.frechet
    report = score.report()
    for words in ("L1", "ELBO", "PCC over all values", "active units: 2 of 2"):
        assert words in report


def test_the_scalars_are_the_numbers_of_the_result_file(score):
    scalars, results = score.scalars(), score.to_dict()
    wanted = {name: entry["mean"] for name, entry in results["metrics"].items()}
    own = results["vae"]
    for name in ("ssim_zero_padded", "mse", "elbo", "kl"):
        wanted[name] = pytest.approx(own["metrics"][name]["mean"], rel=1e-6)
    for name in ("pcc", "calibrated_elbo", "calibrated_std"):
        wanted[name] = own[name]
    wanted["active_units"] = own["latents"]["active_units"]
    wanted["kl_largest_dimension"] = max(own["latents"]["kl_per_dimension"])
    assert scalars == wanted | own["frechet_vgg19_block3"]
    assert all(type(value) is float for value in scalars.values())
