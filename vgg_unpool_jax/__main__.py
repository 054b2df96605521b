"""`python -m vgg_unpool_jax COMMAND` and `vgg-unpool-jax COMMAND`.

The commands are the folder `experiments` of the checkout. The wheel has this folder and
`configs` inside this package, in `_programs` (see `setup.py`).
"""

import pathlib
import runpy
import sys


def main() -> None:
    """Find the commands and start the one that the arguments name."""
    here = pathlib.Path(__file__).resolve().parent
    installed = here / "_programs"
    programs = installed if installed.is_dir() else here.parent
    # First, so that a folder `configs` where the command was typed does not hide ours.
    sys.path.insert(0, str(programs))
    runpy.run_module("experiments", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
