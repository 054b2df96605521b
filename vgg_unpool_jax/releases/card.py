"""The model card of a release, with the header that the Hugging Face Hub reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.evaluation.artefacts import ARTEFACT_METRICS
from vgg_unpool_jax.evaluation.metrics import METRICS, MetricInfo
from vgg_unpool_jax.evaluation.statistics import interval_text
from vgg_unpool_jax.evaluation.tables import markdown_table
from vgg_unpool_jax.pretrained.recorded import ROUNDED
from vgg_unpool_jax.releases.file import without_folders

_KNOWN = METRICS | ARTEFACT_METRICS
# Metrics that the Hub shows beside the card.
_SHOWN = ("l1", "psnr", "ssim", "ms_ssim")
_NETWORK_LICENCES = {
    "alexnet": "AlexNet: torchvision, BSD 3-Clause.",
    "vgg16": "VGG16: torchvision, BSD 3-Clause.",
    "vgg19": "VGG19: Visual Geometry Group, University of Oxford, CC BY 4.0.",
}


def model_card(
    metadata: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
    *,
    name: str,
    about: str = "",
    usage: Sequence[str] = (),
    limits: Sequence[str] = (),
    licence: str | None = None,
    metrics: Mapping[str, MetricInfo] | None = None,
) -> str:
    """Write the card of a release.

    Args:
      metadata: of the release, see `file`.
      results: content of the result file of its evaluation, or None.
      name: of the model.
      about: Markdown about the architecture, by the system.
      usage: lines of Python that load and apply the model.
      limits: sentences about what the model cannot do, by the system.
      licence: of the model; None takes the one in its facts.
      metrics: names and units of the results, in the order of the table; None for those
        that all systems have.
    """
    import huggingface_hub

    licence = licence or metadata["facts"].get("licence")
    if results is not None:
        check_results(metadata, results)
    data = huggingface_hub.ModelCardData(
        license=licence and licence.lower(),
        library_name="vgg_unpool_jax",
        pipeline_tag="image-to-image",
        tags=["jax", "flax", "autoencoder", metadata["system"]],
        model_name=name,
        eval_results=_eval_results(results or {}) or None,
    )
    dtype = metadata["dtype"]
    if dtype != "float32":
        rounded = "Kernels" if dtype == "int8" else "Parameters"
        limits = [
            *limits,
            f"{rounded} were rounded to {dtype} for storage; arithmetic is float32.",
        ]
    sections = [
        f"# {name}",
        about,
        "```python\n" + "\n".join(usage) + "\n```" if usage else "",
        f"## Training\n\n{_training(metadata)}",
        f"## Results\n\n{_results(results or {}, dtype, metrics or _KNOWN)}",
        f"## Weights and licences\n\n{_licences(metadata, licence)}",
        "## Limits\n\n" + _items(limits) if limits else "",
    ]
    body = "\n\n".join(filter(None, sections))
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n"


def check_results(metadata: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Refuse the content of a result file that is not of this release."""
    step, metrics = results.get("training_steps"), results.get("metrics", {})
    if step is not None and step != metadata["step"]:
        raise ReleaseError(
            f"the results are of another model: they are of step {step!r}, the release "
            f"is of step {metadata['step']}"
        )
    try:
        for summary in metrics.values():
            _row("", summary)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise ReleaseError(
            f"the results are not those of an evaluation ({error!r})"
        ) from error


def _eval_results(results: Mapping[str, Any]) -> list:
    import huggingface_hub

    data = without_folders(str(results.get("source", "unknown")))
    return [
        huggingface_hub.EvalResult(
            task_type="image-to-image",
            task_name="reconstruction of photos",
            dataset_type=data,
            dataset_name=data,
            metric_type=key,
            metric_name=METRICS[key].title,
            metric_value=float(f"{float(results['metrics'][key]['mean']):.6g}"),
        )
        for key in _SHOWN
        if key in results.get("metrics", {})
    ]


def _training(metadata: Mapping[str, Any]) -> str:
    config = metadata["config"]
    items = [f"{metadata['step']:,} steps of the system `{metadata['system']}`."]
    terms = [f"{key} {value}" for key, value in config.get("loss", {}).items() if value]
    if terms:
        items.append(f"Loss (section `loss` of the config): {', '.join(terms)}.")
    data = config.get("data", {})
    if "batch_size" in data:
        share = (*data.get("split_fractions", ()), 1.0)[0]
        items.append(
            f"Batches of {data['batch_size']} crops ({data.get('crop')}) of "
            f"{data.get('image_size')} pixels per side, of {100 * share:g} % of "
            f"`{data.get('source')}`."
        )
    items += [
        f"{key.replace('_', ' ')}: {_text(value)}"
        for key, value in metadata["facts"].items()
        if key != "licence" and value is not None
    ]
    return _items(items)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        known = ((k, v) for k, v in value.items() if v is not None)
        return ", ".join(f"{k.replace('_', ' ')} {_text(v)}" for k, v in known)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def _results(results: Mapping[str, Any], dtype: str, known) -> str:
    metrics = results.get("metrics", {})
    if not metrics:
        return "Not evaluated."
    names = [name for name in known if name in metrics]
    names += [name for name in metrics if name not in known]
    rows = [("metric", "mean", "95 % interval", "photos")]
    text = markdown_table(rows + [_row(name, metrics[name], known) for name in names])
    crop = " ".join(str(results[k]) for k in ("crop", "image_size") if k in results)
    photos = without_folders(str(results.get("source", "unknown")))
    facts = [f"Photos: `{photos}`", *([f"crop {crop}"] if crop else [])]
    if "damage" in results:
        facts.append(f"damage `{results['damage']}`")
    text += f"\n\n{', '.join(facts)}; outputs clipped."
    of_this_file = results.get("of_this_file", "released_decoder" in results)
    if dtype != "float32" and not of_this_file:
        text += f"\n\nMeasured before the parameters were rounded to {dtype}."
    return text


def _row(name: str, summary: Mapping[str, Any], known=_KNOWN) -> tuple[str, ...]:
    info = known.get(name, MetricInfo(name, "", 4))
    title = f"{info.title}, {info.unit}" if info.unit else info.title
    # A result file writes infinity and NaN as strings.
    mean, photos = f"{float(summary['mean']):.{info.decimals}f}", summary["photos"]
    interval = interval_text(summary.get("interval"), photos, info.decimals)
    return title, mean, interval or "-", str(photos)


def _licences(metadata: Mapping[str, Any], licence: str | None) -> str:
    items = [f"This model: {licence or 'not stated'}."]
    if record := metadata["pretrained"]:
        items.append(
            f"Trained with `{record['origin']}` (SHA-256 `{record['sha256']}`, "
            f"{record['preprocessing']} preprocessing), which is not in this file. "
            "Files with the same layers can be used (their digest: "
            f"`{record['layers_sha256']}`), others are refused."
        )
        if record["layers_sha256"] in ROUNDED:
            items[-1] += (
                " Keras' public file, whose kernels of blocks 4 and 5 are not rounded "
                "to 8 bits as those were, is taken with a warning."
            )
        items.append(_NETWORK_LICENCES[record.get("network", "vgg19")])
    return _items(items)


def _items(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
