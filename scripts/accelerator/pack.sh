#!/usr/bin/env bash
# Make the folder that run.sh needs on a machine without a network:
#
#   scripts/accelerator/pack.sh --photos=FOLDER --weights=VGG19.h5 --output=FOLDER \
#       [--megabytes=60] [--python=3.12]
#
# weights (the layers that encoders use), photos (re-encoded, as many as fit), and the
# wheels that images with jax, flax, optax, orbax and torch usually lack.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-${VENV:-$ROOT/.venv}/bin/python}" -m scripts.accelerator.pack "$@"
