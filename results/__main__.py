"""Renew tables of README.md, docs/ and configs/, and the model cards of the package.

    python -m results            # rewrite the documents
    python -m results --check    # only name those that are out of date; status 1 if any

`python -m results.replace RUN` puts a better decoder into the package, and its numbers
into the index of the released files and results/pairs.json; `python -m results.package
RUN` does so with a model of any other system.
"""

import argparse
import pathlib
import sys

from results import blocks


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        "python -m results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    stale = write(check=arguments.check)
    for path in stale:
        print(f"{path} {'is out of date' if arguments.check else 'written'}")
    return int(arguments.check and bool(stale))


def write(*, check: bool = False) -> list[pathlib.Path]:
    """Write the documents and cards that are out of date, or with `check` list them."""
    renewed = {
        path: blocks.renew(path.read_text(encoding="utf-8"))
        for path in blocks.documents()
    }
    stale = []
    for path, text in {**renewed, **blocks.cards()}.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(blocks.ROOT))
            if not check:
                path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
