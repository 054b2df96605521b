"""The model card of a released decoder: Markdown beside its file."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgg_unpool_jax.errors import ReleaseError
from vgg_unpool_jax.nets.vgg19_layers import convolutions_up_to
from vgg_unpool_jax.releases.release_metadata import without_folders
from vgg_unpool_jax.releases.released import decoder_shapes

# Metrics of `evaluation` by their names in a result file; others keep theirs.
TITLES = {
    "l1": "L1 in [0, 255]",
    "l2": "L2 in [0, 255]²",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "border_l1": "L1 of the outer 16 pixels",
    "center_l1": "L1 of the rest",
    "color_error_red": "mean error, red",
    "color_error_green": "mean error, green",
    "color_error_blue": "mean error, blue",
}
_UPSAMPLINGS = {
    "unpool": "max-unpooling with the encoder's switches",
    "nearest": "nearest neighbours, without switches",
    "transposed": "transposed convolutions, without switches",
}


def model_card(
    metadata: Mapping[str, Any],
    results: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    licence: str | None = None,
    calls: Sequence[str] | None = None,
) -> str:
    """Write the card of a decoder from what its file and its evaluation say.

    Args:
      metadata: of `read_decoder`.
      results: a result file's content as `json_file.read` gives it, with
        `metrics`; None where the decoder was not evaluated.
      name: of the file without its ending; None is "vgg19-blockX".
      licence: of the decoder; None is what its facts say of it, if they do.
      calls: lines of code that load the pair; None is for a file of that name.

    Returns:
      Markdown that ends with a newline.
    """
    standard = f"vgg19-block{metadata['block']}"
    name = name or standard
    with _refusing("results", name):
        results = results or {}
        _check_belongs(metadata, results)
        measured = _results(results, metadata["dtype"])
    with _refusing("metadata", name):
        parts = [
            _head(metadata, name, calls or _calls(name, standard)),
            _architecture(metadata),
            _training(metadata),
            measured,
            _licences(metadata, licence),
            _limits(metadata),
        ]
    return "\n\n".join(parts) + "\n"


@contextlib.contextmanager
def _refusing(what: str, name: str) -> Iterator[None]:
    """Turn what files of another shape lead to into one sentence."""
    try:
        yield
    except ReleaseError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        raise ReleaseError(
            f"the {what} of {name} are not as this library writes them ({e!r})"
        ) from e


def _check_belongs(metadata, results) -> None:
    evaluated = results.get("provenance", {}).get("config", {}).get("encoder", {})
    told = {
        "step": results.get("training_steps"),
        "block": evaluated.get("block"),
    }
    for field, value in told.items():
        if value is not None and value != metadata[field]:
            raise ReleaseError(
                f"the results are of another decoder: they say {field} {value!r}, the "
                f"decoder is of {field} {metadata[field]}"
            )


def _calls(name: str, standard: str) -> list[str]:
    calls = [f'pair = load_pair("{name}.safetensors")   # the file, wherever it lies']
    if name == standard:
        calls.append(f'pair = load_pair("{name}")   # where it comes with the package')
    return calls


def _head(metadata, name: str, calls: Sequence[str]) -> str:
    block = metadata["block"]
    return "\n".join(
        [
            f"# {name}",
            "",
            "Decoder of an image autoencoder whose encoder is VGG19 cut at "
            f"block{block}_conv2. It rebuilds a photo from {_inputs(metadata)}.",
            "",
            "```python",
            "from vgg_unpool_jax import load_pair",
            "",
            *calls,
            "rebuilt = pair.reconstruct(photos)   # (n, h, w, 3) RGB in [0, 255]",
            "```",
            "",
            "`weights=FILE` names the VGG19 weights; without it they are looked for, "
            "then downloaded.",
        ]
    )


def _inputs(metadata) -> str:
    section = metadata["config"]["decoder"]
    if metadata["block"] == 1 or section.get("upsampling", "unpool") != "unpool":
        return "VGG19's features"
    return "VGG19's features and the places of its max-pools' maxima (switches)"


def _architecture(metadata) -> str:
    block, section = metadata["block"], metadata["config"]["decoder"]
    shapes = decoder_shapes(block, section)
    count = sum(
        math.prod(shape) for name, shape in shapes.items() if name.startswith("params/")
    )
    layers = ", ".join(
        f"{layer.name} {layer.outputs}→{layer.inputs}"
        for layer in reversed(convolutions_up_to(block))
    )
    lines = [
        "## Architecture",
        "",
        "The encoder's mirror: 3×3 convolutions, ReLU after each but the last "
        f"({layers}).",
        "",
        f"- {count:,} parameters, stored as {_stored_as(metadata['dtype'])}.",
    ]
    if block > 1:
        upsampling = section.get("upsampling", "unpool")
        lines.append(f"- Upsampling: {_UPSAMPLINGS[upsampling]}.")
    if section.get("normalize_features"):
        lines.append("- Each input channel is divided by its RMS over training photos.")
    return "\n".join(lines)


def _stored_as(dtype: str) -> str:
    if dtype == "int8":
        return "int8 (kernels, with a scale per output channel) and float32 (the rest)"
    return dtype


def _training(metadata) -> str:
    config = metadata["config"]
    lines = ["## Training", "", f"- {metadata['step']:,} steps."]
    losses = config.get("loss", {})
    weighted = [f"{key} {value:g}" for key, value in losses.items() if value]
    if weighted:
        lines.append(f"- Losses and their weights: {', '.join(weighted)}.")
    data = config.get("data", {})
    if "batch_size" in data:
        side = data["image_size"]
        lines.append(
            f"- Batches of {data['batch_size']} crops ({data['crop']}) of {side}×{side}"
            f" pixels of `{data['source']}`."
        )
    lines += [
        f"- {key.replace('_', ' ')}: {_text(value)}"
        for key, value in metadata["facts"].items()
        if key != "licence" and value is not None
    ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        told = {key: part for key, part in value.items() if part is not None}
        pairs = (f"{key.replace('_', ' ')} {_text(part)}" for key, part in told.items())
        return ", ".join(pairs)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    # Thousands are parted in counts, as elsewhere in the card.
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _results(results, dtype: str) -> str:
    metrics = results.get("metrics", {})
    if not metrics:
        return "## Results\n\nNot evaluated."
    lines = ["## Results", "", "| metric | mean | 95 % interval | photos |"]
    lines += ["|---|---|---|---|", *(_row(*item) for item in _ordered(metrics))]
    if "source" in results:
        crop = [str(results[key]) for key in ("crop", "image_size") if key in results]
        cut = f", crop {' '.join(crop)}" if crop else ""
        photos = without_folders(results["source"])
        lines += ["", f"Photos: `{photos}`{cut}; reconstructions clipped to [0, 255]."]
    if dtype != "float32" and "released_decoder" not in results:
        lines += ["", f"Measured before the parameters were rounded to {dtype}."]
    return "\n".join(lines)


def _ordered(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    known = [name for name in TITLES if name in metrics]
    for name in known + [name for name in metrics if name not in TITLES]:
        yield name, metrics[name]


def _row(name: str, summary: Mapping[str, Any]) -> str:
    # A result file writes what is not finite as a string, which float reads.
    mean = f"{float(summary['mean']):#.4g}"
    interval = summary.get("interval")
    between = " to ".join(f"{float(end):#.4g}" for end in interval) if interval else "-"
    return f"| {TITLES.get(name, name)} | {mean} | {between} | {summary['photos']} |"


def _licences(metadata, licence: str | None) -> str:
    vgg19, block = metadata["vgg19"], metadata["block"]
    lines = [
        "## VGG19 weights and licences",
        "",
        f"- Trained with `{vgg19['origin']}` (SHA-256 `{vgg19['sha256']}`, "
        f"{vgg19['preprocessing']} preprocessing). They are not in this file. Any file "
        f"with the same layers up to block{block}_conv2 does (their digest: "
        f"`{metadata['encoder_sha256']}`); others are refused.",
        "- VGG19: Visual Geometry Group, University of Oxford, CC BY 4.0.",
    ]
    licence = licence or metadata["facts"].get("licence")
    if licence:
        lines.append(f"- This decoder: {licence}.")
    return "\n".join(lines)


def _limits(metadata) -> str:
    lines = [
        "## Limits",
        "",
        "- The published figures of such pairs are of other test photos (1,234 of "
        "COCO) than any table here, so they compare roughly.",
        "- `decode` is not clipped to [0, 255]; `reconstruct` is.",
        "- Reconstructions of other images than those named above and of edited "
        "features were not measured.",
    ]
    if metadata["dtype"] != "float32":
        what = "Kernels" if metadata["dtype"] == "int8" else "Parameters"
        lines.append(
            f"- {what} were rounded to {metadata['dtype']} for storage; arithmetic is "
            "float32."
        )
    return "\n".join(lines)
