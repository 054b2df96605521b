"""The packages of the wheel; everything else is in pyproject.toml.

The wheel has `experiments` and `configs` inside the package `vgg_unpool_jax`, since
top-level packages of these names would collide with those of other projects.
"""

import setuptools

PROGRAMS = ("experiments", "configs")
FOLDER = "vgg_unpool_jax._programs"

programs = [
    f"{FOLDER}.{name}"
    for program in PROGRAMS
    for name in setuptools.find_packages(include=[program, f"{program}.*"])
]
setuptools.setup(
    packages=[*setuptools.find_packages(include=["vgg_unpool_jax*"]), *programs],
    package_dir={f"{FOLDER}.{program}": program for program in PROGRAMS},
)
