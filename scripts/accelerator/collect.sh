#!/usr/bin/env bash
# Take over what run.sh brought back: the GPU tables of docs/performance.md, and each pair
# that is better than the one in the package.
#
#   scripts/accelerator/collect.sh FOLDER --photos=FOLDER --test_photos=FOLDER
#
# The photos are those of pack.sh, of which the validation split decides; the VGG19
# weights are those of VGG19_WEIGHTS. Commit what it writes.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fail() { echo "collect.sh: $*" >&2; exit 2; }
[ $# -eq 3 ] && [ -d "$1" ] || fail "expected FOLDER --photos=FOLDER --test_photos=FOLDER"
FOLDER=$(cd "$1" && pwd)
# Relative paths mean what they mean where the command was typed; what it writes is in
# the checkout.
absolute() { case "${1#*=}" in /*) echo "$1" ;; *) echo "${1%%=*}=$PWD/${1#*=}" ;; esac; }
set -- "$FOLDER" "$(absolute "$2")" "$(absolute "$3")"
case "${VENV:=$ROOT/.venv}" in /*) ;; *) VENV=$PWD/$VENV ;; esac
PYTHON=${PYTHON:-$VENV/bin/python}
if [ -n "${VGG19_WEIGHTS:-}" ]; then VGG19_WEIGHTS=$(realpath "$VGG19_WEIGHTS"); fi
cd "$ROOT"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

for name in ops step; do
  [ ! -f "$FOLDER/$name.json" ] || cp "$FOLDER/$name.json" "results/accelerator_$name.json"
done
"$PYTHON" -m results
for block in 1 2 3 4 5; do
  file=vgg19-block$block.safetensors
  if compgen -G "$FOLDER/$file.*" >/dev/null; then
    cat "$FOLDER/$file".* >"$WORK/$file"
  elif [ -f "$FOLDER/$file" ]; then
    cp "$FOLDER/$file" "$WORK/$file"
  else
    echo "block $block: nothing came back"
    continue
  fi
  # Status 3: the pair of the package is better.
  "$PYTHON" -m results.replace "$WORK/$file" "$2" "$3" || [ $? -eq 3 ]
done
