"""Renew tables of README.md, docs/ and configs/, and the model cards of the package.

    python -m results            # rewrite the documents
    python -m results --check    # only name those that are out of date; status 1 if any
    python -m results --add=runs/release/block3/results.json

`--add` first copies the numbers of a pair into results/pairs.json, from the result file
that `release` wrote. The metrics of pairs in the package are not copied, because
`pairs register` puts them into the index of the released files.
"""

import argparse
import json
import pathlib
import sys

from results import blocks
from vgg_unpool_jax.systems.unpooling.table import read_pair_results

_METRICS = ("l1", "psnr", "ssim", "ms_ssim")
_SUMMARY = ("mean", "interval")


def add(path: str) -> None:
    """Copy the numbers of a pair into results/pairs.json."""
    content, facts = read_pair_results(path), blocks.read("pairs")
    config = content["provenance"]["config"]
    name = f"block{config['encoder']['block']}"
    pair = {"batch_size": config["data"]["batch_size"]}
    pair["crop"] = config["data"]["image_size"]
    if "training_hours" in content:
        pair["hours"] = content["training_hours"]
    if "metrics" in facts["pairs"][name]:
        pair["metrics"] = {
            metric: {key: content["metrics"][metric][key] for key in _SUMMARY}
            for metric in _METRICS
        }
        pair["photos"] = content["metrics"]["l1"]["photos"]
        pair["border_ratio"] = content["border_ratio"]
        pair["steps"] = content["training_steps"]
    validations = pathlib.Path(path).with_name("validation.json")
    if validations.exists():
        pair["validation_l1"] = {
            entry["step"]: entry["metrics"]["photo_l1"]
            for entry in json.loads(validations.read_text())["validations"]
        }
    facts["pairs"][name].update(pair)
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (blocks.ROOT / "results" / "pairs.json").write_text(f"{text}\n", encoding="utf-8")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        "python -m results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--add", metavar="FILE", help="result file of a pair")
    arguments = parser.parse_args()
    if arguments.add:
        add(arguments.add)
    renewed = {
        path: blocks.renew(path.read_text(encoding="utf-8"))
        for path in blocks.documents()
    }
    stale = []
    for path, text in {**renewed, **blocks.cards()}.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(blocks.ROOT))
            if not arguments.check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} {'is out of date' if arguments.check else 'written'}")
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
