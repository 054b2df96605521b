"""Train a linear classifier on the codes of autoencoders, to see what they carry.

    python -m vgg_unpool_jax classify --train_photos=folder:PHOTOS \
        --test_photos=folder:OTHERS RUN...

Photos need labels, such as class folders. A linear SVM, its C by five-fold
cross-validation on the training photos, of the code of each run (VAEs, DeePSiM's
autoencoders and inverters), and for comparison of the photos reduced to 16×16 pixels.
Prints the share of test photos with the right label and its 95 % interval.
"""

import numpy as np
from absl import flags

from experiments.cli import command
from vgg_unpool_jax.data import Source, make_source
from vgg_unpool_jax.errors import ConfigError
from vgg_unpool_jax.evaluation.statistics import summarize
from vgg_unpool_jax.systems import load_trained

_TRAIN = flags.DEFINE_string("train_photos", None, "Labelled photos to train on.")
_TEST = flags.DEFINE_string("test_photos", None, "Labelled photos to test on.")
_BATCH = 64
_PIXELS = "photos reduced to 16×16"


def main(runs: list[str]) -> None:
    """Run the command; `runs` are the arguments after the flags."""
    from vgg_unpool_jax.evaluation.metrics import MetricInfo
    from vgg_unpool_jax.evaluation.results import format_table

    if not runs:
        raise ConfigError("name runs or released models after the flags")
    models = {run: load_trained(run) for run in runs}
    for run, model in models.items():
        if not hasattr(model, "encode") or model.tiles:
            raise ConfigError(f"{run} has no codes of one size: {model.describe()}")
    parts = [_labelled(flag) for flag in (_TRAIN, _TEST)]
    missing = set(parts[1][1]) - set(parts[0][1])
    if missing:
        raise ConfigError(
            f"{_TEST.value} has classes that {_TRAIN.value} lacks: "
            f"{', '.join(sorted(missing))}"
        )
    right = {}
    for run, model in models.items():
        right[run] = _fit_and_test(
            *((_codes(model, source), labels) for source, labels in parts)
        )
    first = next(iter(models.values()))
    right[_PIXELS] = _fit_and_test(
        *((_reduced(first, source), labels) for source, labels in parts)
    )
    counts = np.unique(parts[1][1], return_counts=True)[1]
    infos = {name: MetricInfo(name, "", 3, True, (0.0, 1.0)) for name in right}
    summaries = {
        name: summarize(found.astype(np.float64), infos[name].bounds)
        for name, found in right.items()
    }
    print(format_table(summaries, infos))
    print(f"always the largest of {len(counts)} classes: {counts.max() / sum(counts)}")


def _labelled(flag) -> tuple[Source, list[str]]:
    source = make_source(flag.value)
    labels = [source.label(index) for index in range(len(source))]
    if None in labels or len(set(labels)) < 2:
        raise ConfigError(f"{flag.value} has no labels of two classes or more")
    return source, labels


def _codes(model, source: Source) -> np.ndarray:
    """Codes of all photos, (n, d)."""
    rows = []
    for start in range(0, len(source), _BATCH):
        indices = range(start, min(start + _BATCH, len(source)))
        found = model.encode(np.stack([model.prepare(source[i]) for i in indices]))
        means = found[0] if isinstance(found, tuple) else found
        rows.append(np.asarray(means).reshape(len(means), -1))
    return np.concatenate(rows)


def _reduced(model, source: Source) -> np.ndarray:
    rows = []
    for index in range(len(source)):
        photo = model.prepare(source[index]).astype(np.float32)
        side = photo.shape[0] // 16
        photo = photo[: 16 * side, : 16 * side]
        rows.append(photo.reshape(16, side, 16, side, 3).mean(axis=(1, 3)).ravel())
    return np.stack(rows)


def _fit_and_test(train, test) -> np.ndarray:
    """Which test photos get the right label, (n,)."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    pipeline = make_pipeline(StandardScaler(), LinearSVC(max_iter=5000))
    grid = {"linearsvc__C": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]}
    search = GridSearchCV(pipeline, grid, cv=5).fit(*train)
    return search.predict(test[0]) == np.asarray(test[1])


if __name__ == "__main__":
    flags.mark_flags_as_required(["train_photos", "test_photos"])
    command.run(main, positional=True)
