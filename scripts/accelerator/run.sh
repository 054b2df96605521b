#!/usr/bin/env bash
# Use one accelerator for a few minutes: measure pooling and training beside torch, then
# train the pairs on from their newest state.
#
#   scripts/accelerator/run.sh --minutes=N --input=FOLDER --output=FOLDER
#
# --input is made by pack.sh; --output gets at most 8 files of at most 16 MiB, which
# collect.sh reads. Needs python3 with jax, flax, optax, orbax-checkpoint, h5py,
# safetensors, scipy, pillow, tensorboard, tqdm and, for the comparison, torch; no
# network. Each part has a time box and writes its results as it goes.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BEGAN=$(date +%s)
fail() { echo "run.sh: $*" >&2; exit 2; }

MINUTES= INPUT= OUTPUT=
for argument in "$@"; do
  case "$argument" in
    --minutes=*) MINUTES=${argument#*=} ;;
    --input=*) INPUT=${argument#*=} ;;
    --output=*) OUTPUT=${argument#*=} ;;
    *) fail "unknown argument $argument" ;;
  esac
done
[[ $MINUTES =~ ^[0-9]+$ ]] || fail "--minutes must be a whole number, got '$MINUTES'"
[ -f "$INPUT/vgg19.h5" ] || fail "--input must be a folder of pack.sh, got '$INPUT'"
[ -n "$OUTPUT" ] || fail "--output is empty"
mkdir -p "$OUTPUT"
INPUT=$(cd "$INPUT" && pwd) OUTPUT=$(cd "$OUTPUT" && pwd)
PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$ROOT"

"$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
  --target "$WORK/site" "$INPUT"/wheels/*.whl
export PYTHONPATH=$WORK/site:$ROOT PYTHONUNBUFFERED=1 VGG19_WEIGHTS=$INPUT/vgg19.h5
export JAX_COMPILATION_CACHE_DIR=$WORK/compiled

# box SHARE MOST: seconds of a part, a share (percent) of all time and at most MOST.
box() {
  local seconds=$((MINUTES * 60 * $1 / 100))
  echo $((seconds < $2 ? seconds : $2))
}

# measure NAME SECONDS ARGUMENTS: a benchmark that stops at the end of its box; one that
# hangs is ended. Its failure does not stop the rest, and is in its log.
measure() {
  local name=$1 seconds=$2
  shift 2
  echo "== $name: $seconds s"
  timeout --kill-after=5 $((seconds + 20)) "$PYTHON" -m benchmarks --seconds="$seconds" \
    --output="$OUTPUT/$name.json" "$@" >"$WORK/$name.log" 2>&1 ||
    echo "$name ended with status $? (log.txt)"
  tail -n 5 "$WORK/$name.log"
}

measure ops "$(box 12 60)" --suite=ops --peers=torch --dtypes=bfloat16,float32 \
  --cases='(^|[^0-9])(16×256²×64|16×64²×256|16×32²×512|16×16²×64) '
measure step "$(box 12 60)" --suite=step --peers=torch --dtypes=bfloat16 --blocks=5,3,1

# What is left but 40 seconds, in which the last state is written.
LEFT=$((MINUTES * 60 - ($(date +%s) - BEGAN) - 40))
STATUS=0
echo "== training: $LEFT s"
timeout --signal=TERM --kill-after=20 $((LEFT + 20)) "$PYTHON" \
  -m scripts.accelerator.train_pairs --seconds="$LEFT" --input="$INPUT" \
  --workdirs="$WORK/runs" --output="$OUTPUT" 2>&1 | tee "$WORK/training.log" ||
  { STATUS=$? && echo "training ended with status $STATUS"; }
{
  nvidia-smi 2>/dev/null || true
  tail -n 200 "$WORK"/*.log
} >"$OUTPUT/log.txt"
ls -l "$OUTPUT"
# 124: its time was over, after a state was written.
[ "$STATUS" -eq 124 ] || exit "$STATUS"
