"""The texts that are made from the result files, and their positions in the documents.

A block stands between `<!-- results:NAME -->` and `<!-- /results -->`, in a docstring
between `[results:NAME]` and `[/results]`, each on a line of its own.
"""

import json
import pathlib
import re
import textwrap
from collections.abc import Callable, Sequence

from benchmarks.tables import limits_lines, suite_table
from vgg_unpool_jax.releases import index
from vgg_unpool_jax.releases.card import model_card
from vgg_unpool_jax.releases.file import read_metadata
from vgg_unpool_jax.systems import find
from vgg_unpool_jax.systems.unpooling.release import card_text
from vgg_unpool_jax.systems.unpooling.table import PUBLISHED_L1

ROOT = pathlib.Path(__file__).resolve().parents[1]
_BLOCK = re.compile(
    r"(?P<begin>(?:<!-- |\[)results:(?P<name>[\w-]+)(?: -->|\])\n)"
    r".*?"
    r"(?P<end>\n(?:<!-- |\[)/results(?: -->|\]))",
    re.DOTALL,
)
INDEX = "vgg_unpool_jax/releases/packaged/releases.json"
_WIDTH = 88
_MINUS = "\N{MINUS SIGN}"


def read(name: str) -> dict:
    """The content of results/NAME.json."""
    return json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))


def write(name: str, content: dict) -> None:
    """Replace results/NAME.json."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (ROOT / "results" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def read_pairs() -> dict[str, dict]:
    """The pairs of results/pairs.json, by "block1" ... "block5".

    Metrics of a pair in the package are those in the index of the released files.
    """
    released = json.loads((ROOT / INDEX).read_text(encoding="utf-8"))["models"]
    pairs = read("pairs")["pairs"]
    for name, pair in pairs.items():
        entry = released.get(f"vgg19-{name}", {})
        metrics = entry.get("metrics")
        if metrics:
            border, centre = (metrics[f"{n}_l1"]["mean"] for n in ("border", "center"))
            pair |= {
                "metrics": metrics,
                "photos": metrics["l1"]["photos"],
                "border_ratio": border / centre,
                "steps": entry["step"],
                "stored": entry["dtype"],
            }
    return pairs


def documents() -> list[pathlib.Path]:
    """All files that may hold blocks."""
    folders = (ROOT / "docs").glob("*.md"), (ROOT / "configs").rglob("*.py")
    return sorted([ROOT / "README.md", *folders[0], *folders[1]])


def cards() -> dict[pathlib.Path, str]:
    """The model cards of the package, from the released files and their index."""
    found = {}
    for name, entry in index.read(index.PACKAGE).items():
        file = index.PACKAGE / entry.file
        if not file.exists():
            continue
        metadata, results = read_metadata(file), index.known_results(entry)
        options = {"licence": entry.facts.get("licence")}
        if metadata["system"] == "unpooling":
            text = card_text(metadata, results, name, source=name, **options)
        else:
            system = find(metadata["system"])
            parts = system.card_parts(metadata, name) if system.card_parts else {}
            options["metrics"] = system.make_report.metrics
            text = model_card(metadata, results, name=name, **parts, **options)
        found[file.with_suffix(".md")] = text
    return found


def names(text: str) -> list[str]:
    """Names of the blocks of a document, in their order."""
    return [match["name"] for match in _BLOCK.finditer(text)]


def renew(text: str) -> str:
    """A document with all its blocks made from the result files."""

    def made(match: re.Match) -> str:
        return match["begin"] + BLOCKS[match["name"]]() + match["end"]

    return _BLOCK.sub(made, text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return re.sub(r"\| +(?=\|)", "| ", text)


def _fill(text: str) -> str:
    """A paragraph in which no line begins with a percent sign."""
    text = textwrap.fill(text.replace(" %", "\xa0%"), _WIDTH, break_on_hyphens=False)
    return text.replace("\xa0", " ")


def _number(metrics: dict, name: str, form: str, interval: bool = False) -> str:
    """A mean, with its 95 % interval if asked for and known; "" if not measured."""
    entry = metrics.get(name)
    if entry is None:
        return ""
    text = format(entry["mean"], form).replace("-", _MINUS)
    if interval and entry.get("interval"):
        low, high = (format(value, form) for value in entry["interval"])
        text += f" ({low} to {high})"
    return text


def _pairs() -> str:
    rows = []
    for block, published in PUBLISHED_L1.items():
        pair = read_pairs()[f"block{block}"]
        metrics = pair["metrics"]
        on = f" on {pair['hardware']}" if "hardware" in pair else ""
        rows.append(
            (
                f"block{block}_conv2",
                f"{published:.3f}",
                _number(metrics, "l1", ".3f"),
                f"{_number(metrics, 'psnr', '.2f')} dB",
                _number(metrics, "ssim", ".4f"),
                f"{pair['decoder_parameters']:,}",
                f"{pair['photos_seen']:,} crops{_minutes(pair)}{on}",
            )
        )
    head = ("pair", "published L1", "ours", "PSNR", "SSIM", "parameters", "training")
    return table(head, rows)


def _minutes(pair: dict) -> str:
    """The time of a training with a comma in front; "" if it is not known."""
    return "" if pair["hours"] is None else f", {60 * pair['hours']:.0f} min"


def _data() -> str:
    """Data, weights and hardware of the table of README.md."""
    facts = read("pairs")
    return _fill(
        f"Tested on {facts['test_photos']}, trained on {facts['training_photos']}. "
        f"VGG19 weights: {facts['vgg19_weights']}. Hardware: {facts['hardware']}."
    )


def _measured_on(name: str) -> str:
    """Data, weights and hardware of a result file."""
    facts = read(name)
    return _fill(
        f"Test: {facts['test_photos']}. Training: {facts['training_photos']}. "
        f"VGG19 weights: {facts['vgg19_weights']}. Hardware: {facts['hardware']}."
    )


def _intervals() -> str:
    rows = []
    for name, pair in read_pairs().items():
        metrics = pair["metrics"]
        rows.append(
            (
                f"{name}_conv2",
                _number(metrics, "l1", ".3f", interval=True),
                _number(metrics, "psnr", ".2f", interval=True),
                _number(metrics, "ssim", ".4f", interval=True),
                _number(metrics, "ms_ssim", ".4f", interval=True),
                f"{pair['border_ratio']:.2f}",
                pair["stored"],
            )
        )
    head = ("pair", "L1", "PSNR, dB", "SSIM", "MS-SSIM", "border / rest", "stored as")
    return f"{table(head, rows)}\n\n{_measured_on('pairs')}"


def _config(block: int) -> str:
    facts, pair = read("pairs"), read_pairs()[f"block{block}"]
    metrics = pair["metrics"]
    sizes = ", then ".join(pair["crops"])
    crops = f"{pair['photos_seen']:,} crops, {sizes} a step"
    ours = f"{_number(metrics, 'l1', '.3f')}, {pair['photos']} COCO photos"
    rows = [
        (
            "published",
            "30 to 100 epochs of 111,063 COCO photos",
            f"{PUBLISHED_L1[block]:.3f}, 1,234 COCO photos",
        ),
        ("default", "not run yet", ""),
        ("best", crops, ours),
    ]
    text = (
        f"Decoder: {pair['decoder_parameters']:,} parameters. "
        f"Hardware of the training: {pair.get('hardware', facts['hardware'])}"
        f"{_minutes(pair)}. "
        f"Training: {facts['training_photos']}. VGG19 weights: "
        f"{facts['vgg19_weights']}. Test: {facts['test_photos']}. "
        f"L1 {_number(metrics, 'l1', '.3f', interval=True)}, "
        f"PSNR {_number(metrics, 'psnr', '.2f')} dB, "
        f"SSIM {_number(metrics, 'ssim', '.4f')}, "
        f"MS-SSIM {_number(metrics, 'ms_ssim', '.4f')}."
    )
    if pair.get("validation_l1"):
        crops = ", ".join(f"{int(count):,}" for count in pair["validation_l1"])
        values = ", ".join(f"{value:.2f}" for value in pair["validation_l1"].values())
        text += f" L1 of 102 validation photos after {crops} crops: {values}."
    head = ("variant", "training", "L1 in [0, 255]")
    return f"{table(head, rows)}\n\n{_fill(text)}"


_VAE_ROWS = {
    "pcc": ("PCC over all values", ".3f"),
    "ssim_zero_padded": ("SSIM, zero padding", ".3f"),
    "ssim": ("SSIM without padding", ".3f"),
    "mse": ("MSE on [0, 1]", ".4f"),
    "psnr": ("PSNR, dB", ".2f"),
    "elbo": ("ELBO, nats per photo", ",.0f"),
    "calibrated_elbo": ("ELBO at the best standard deviation", ",.0f"),
    "calibrated_std": ("that standard deviation", ".3f"),
    "kl": ("KL, nats per photo", ".0f"),
    "active_units": ("active units of 128", ".0f"),
    "frechet_reconstructions": ("Fréchet distance, reconstructions", ".3g"),
    "frechet_samples": ("Fréchet distance, samples of the prior", ".3g"),
}


def _vae_all() -> str:
    runs = read("vae")["runs"]
    rows = [
        (title, *(_number(run["metrics"], key, form, True) for run in runs.values()))
        for key, (title, form) in _VAE_ROWS.items()
    ]
    return f"{table(('COCO128', *runs), rows)}\n\n{_measured_on('vae')}"


def _vae_config() -> str:
    facts = read("vae")
    rows = [
        ("published", "pictures after 3 and 20 epochs, no numbers", "", ""),
        ("default", "not run yet", "", ""),
    ]
    for run in facts["runs"].values():
        training = f"{run['steps']} steps of {run['batch_size']}, {run['minutes']} min"
        values = (
            _number(run["metrics"], key, ".3f") for key in ("pcc", "ssim_zero_padded")
        )
        rows.append((run["variant"], training, *values))
    head = ("variant", "training", "PCC", "SSIM, zero padding")
    return f"{table(head, rows)}\n\n{_measured_on('vae')}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %".replace("-", _MINUS)


def _style_all() -> str:
    facts, rows = read("stylization"), []
    has_lpips = any(row["lpips"] is not None for row in facts["rows"])
    for row in facts["rows"]:
        blocks = " / ".join(f"{100 * x:.0f}" for x in row["by_block"])
        values = (
            "" if row[key] is None else format(row[key], digits)
            for key, digits in (
                ("edge_ssim", ".3f"),
                ("sobel_ssim", ".3f"),
                ("lab_distance", ".2f"),
                ("lab_distance_by_region", ".2f"),
                *([("lpips", ".3f")] if has_lpips else []),
            )
        )
        by_region = _percent(row["style_by_region"])
        rows.append((row["method"], *values, by_region, blocks.replace("-", _MINUS)))
    head = (
        *("method", "edges", "Sobel", "colours", "by region"),
        *(["LPIPS"] if has_lpips else []),
        *("style by region", "blocks 1 / 2 / 3 / 4, %"),
    )
    text = f"{facts['about']} Hardware: {facts['hardware']}."
    return f"{table(head, rows)}\n\n{_fill(text)}"


def _accelerator() -> str:
    """Tables of what scripts/accelerator/run.sh measured, where it has run."""
    parts = []
    for suite in ("ops", "step"):
        path = ROOT / "results" / f"accelerator_{suite}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            hardware = record["provenance"]["hardware"]["device_kind"]
            versions = record["provenance"]["versions"]
            found = ", ".join(
                f"{name} {versions[name]}"
                for name in ("jax", "torch")
                if name in versions
            )
            limits = "\n".join(f"- {line}" for line in limits_lines(record["limits"]))
            parts += [
                f"Suite `{suite}` on one {hardware}, {found}:",
                suite_table(record["rows"], markdown=True),
                limits,
            ]
    return "\n\n".join(parts) or "Not measured yet: no GPU was at hand."


BLOCKS: dict[str, Callable[[], str]] = {
    "accelerator": _accelerator,
    "data": _data,
    "pairs": _pairs,
    "pairs-intervals": _intervals,
    "vae-all": _vae_all,
    "vae-coco": _vae_config,
    "style-all": _style_all,
    **{f"block{block}": lambda block=block: _config(block) for block in PUBLISHED_L1},
}
