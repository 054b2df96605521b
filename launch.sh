#!/usr/bin/env bash
# One door to everything: ./launch.sh help
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The commands are the files of experiments/, described by their docstrings' first lines.
list_commands() {
  local file name description
  for file in "$ROOT"/experiments/[a-z]*.py; do
    name=${file##*/}
    IFS= read -r description <"$file"
    printf '  %-16s %s\n' "${name%.py}" "${description#*\"\"\"}"
  done
}

is_experiment() {
  [[ $1 =~ ^[a-z][a-z_]*$ ]] && { [ "$1" = benchmark ] || [ -f "$ROOT/experiments/$1.py" ]; }
}

usage() {
  cat <<'TEXT'
usage: ./launch.sh COMMAND [ARGUMENTS]

  quickstart [--weights=FILE] [--workdir=FOLDER]
                 rebuild sample photos with the released pairs, train the block-1 pair
                 for a few minutes on them, evaluate it, and say where the pictures and
                 results are
  test           run ruff and pytest; further arguments go to pytest
  faults         disturb trainings for real (kill -9, SIGTERM, full disk, hostile
                 photos, ...) and print what came of it, the table of
                 docs/reliability.md; further arguments go to pytest
  fuzz           search for generated inputs that fail a test, from a random seed;
                 FUZZ_SEED=NUMBER repeats a search; further arguments go to pytest

TEXT
  list_commands
  cat <<'TEXT'
  benchmark        Measure speed beside torch and TensorFlow, where they are installed.

  install        make the environment and nothing else
  help           this text

The commands in the middle are also `python -m vgg_unpool_jax COMMAND`, and have --help.

several processes (docs/distributed.md), with any of these commands, of which train
shares its work among them; --dry_run prints what would be done:
  local --processes=N [--logs=FOLDER] [--grace=SECONDS] [--port=PORT] COMMAND ...
                 on this machine, with ACCELERATOR=cuda one for each GPU
  slurm [--logs=FOLDER] [OPTION OF SBATCH]... COMMAND ...
                 write an sbatch file and submit it; options as --NAME=VALUE
  tpu NAME ZONE [--project=PROJECT] [--grace=SECONDS] COMMAND ...
                 on all workers of a TPU VM; they keep running when the connection is lost
  tpu NAME ZONE [--project=PROJECT] status | logs | stop
                 of what was started there

environment:
  VENV           virtual environment to make or reuse (.venv in the checkout)
  PYTHON         interpreter to make it with (python3; 3.11 or newer)
  ACCELERATOR    cpu, cuda or tpu: which build of jax to install (cpu)
  VGG19_WEIGHTS  file with the VGG19 weights; else the cache, else a download
  WITH_TORCH=1   `test` installs torch too and runs the parity tests against it
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 2
}

VENV=${VENV:-$ROOT/.venv}
# Tests run from the checkout, wherever the command was typed.
case "$VENV" in /*) ;; *) VENV=$PWD/$VENV ;; esac
PYTHON=${PYTHON:-python3}
ACCELERATOR=${ACCELERATOR:-cpu}

case "$ACCELERATOR" in
  cpu) JAX_PACKAGE=jax ;;
  cuda) JAX_PACKAGE="jax[cuda]" ;;
  tpu) JAX_PACKAGE="jax[tpu]" ;;
  *) fail "ACCELERATOR must be cpu, cuda or tpu, got $ACCELERATOR" ;;
esac

# install NAME FILE...: install requirement files into the environment unless the same
# files, for the same accelerator, were installed before. The stamp is written last, so
# an installation that broke off is repeated.
install() {
  local name=$1
  shift
  local stamp="$VENV/.installed-$name" current
  current=$({
    echo "$JAX_PACKAGE"
    cat "$ROOT/requirements.txt" "${@/#/$ROOT/}"
  } | cksum)
  # Python is not started for it: that would take as long as --help of a command.
  if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then
    return
  fi
  # Asked for pip: where venv breaks off half-way there is a Python without it.
  if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
      fail "Python 3.11 or newer is needed, PYTHON=$PYTHON is $("$PYTHON" --version 2>&1)"
    echo "making the environment $VENV"
    local clear=()
    if [ -e "$VENV/pyvenv.cfg" ]; then clear=(--clear); fi
    "$PYTHON" -m venv ${clear[@]+"${clear[@]}"} "$VENV" ||
      fail "no environment could be made in $VENV (on Debian: apt install python3-venv)"
  fi
  echo "installing $* into $VENV (jax for $ACCELERATOR)"
  local arguments=()
  for file in "$@"; do arguments+=(-r "$ROOT/$file"); done
  # Not compiled ahead, a third of the time: Python compiles what it imports.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
    "$JAX_PACKAGE" "${arguments[@]}"
  echo "$current" >"$stamp"
}

# install_for COMMAND ARGUMENT...: install what it needs. The docstring of a command says
# "Needs the extra [NAME]", or "... with OPTION or OPTION" where only these need it.
install_for() {
  install run requirements.txt
  case "$* ${VGG19_WEIGHTS:-}" in
    *gs://*) install gcs requirements-gcs.txt ;;
  esac
  local file="$ROOT/experiments/${1:-}.py" need extra argument
  [ -f "$file" ] && need=$(grep -m1 '^Needs the extra ' "$file") || return 0
  extra=${need#*[}
  extra=${extra%%]*}
  for argument in "$@"; do
    case "$need" in
      *" with "*" $argument"[\ .]*) ;;
      *" with "*) continue ;;
    esac
    install "$extra" "requirements-$extra.txt"
    break
  done
}

# Sets PROGRAM to what runs an experiment: env ... python -m experiments.NAME
find_program() {
  # Relative paths mean what they mean where the command was typed.
  PROGRAM=(env "PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}")
  # Else the C library gives the memory of large arrays back after every step, and the
  # kernel clears it and hands it out again; see docs/performance.md. Small pieces are
  # joined at once (no tcache, no fast bins): between large ones they would keep these
  # from being used again. Not for large photos, which need their memory back.
  local large='^(reconstruct|stylize|stylize_video|edit|studio)$'
  if [ "$ACCELERATOR" = cpu ] && [[ ! $1 =~ $large ]]; then
    local keep=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.arena_max=1
    keep+=:glibc.malloc.trim_threshold=100000000000:glibc.malloc.tcache_count=0
    keep+=:glibc.malloc.mxfast=0
    PROGRAM+=("GLIBC_TUNABLES=${GLIBC_TUNABLES:-$keep}")
  fi
  local module="experiments.$1"
  if [ "$1" = benchmark ]; then module=benchmarks; fi
  PROGRAM+=("$VENV/bin/python" -m "$module")
}

run_experiment() {
  find_program "$1"
  install_for "$@"
  shift
  "${PROGRAM[@]}" "$@"
}

quickstart() {
  local workdir=runs/quickstart weights=() page=()
  for argument in "$@"; do
    case "$argument" in
      --weights=*)
        weights=("--config.encoder.weights=${argument#*=}")
        page=("--weights=${argument#*=}")
        ;;
      --workdir=?*) workdir=${argument#*=} ;;
      *) fail "quickstart knows --weights=FILE and --workdir=FOLDER, got $argument" ;;
    esac
  done
  echo "what the released pairs make of the sample photos:"
  run_experiment pairs page released --source=samples \
    --output="$workdir/released" --without_weights=skip ${page[@]+"${page[@]}"}
  echo "and one trained here:"
  run_experiment train --config="$ROOT/configs/vgg19_block1.py:quickstart" \
    --workdir="$workdir" ${weights[@]+"${weights[@]}"}
  run_experiment evaluate --workdir="$workdir"
}

run_tests() {
  install test requirements-dev.txt
  if [ "${WITH_TORCH:-0}" = 1 ]; then
    install torch requirements-torch.txt
  fi
  cd "$ROOT"
  local status=0
  "$VENV/bin/python" -m ruff check . || status=$?
  "$VENV/bin/python" -m ruff format --check . || status=$?
  # One worker more than there are cores, because some tests wait for other processes. A
  # file's tests stay together: they share what their fixtures trained.
  local workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
  if [ "$workers" -gt 4 ]; then workers=4; fi
  "$VENV/bin/python" -m pytest -n "$workers" --dist=loadfile "$@" || status=$?
  return "$status"
}

run_faults() {
  install test requirements-dev.txt
  cd "$ROOT"
  # One after the other: a disturbed training has to be met at its moment.
  "$VENV/bin/python" -m pytest tests/faults "$@"
}

run_fuzz() {
  install test requirements-dev.txt
  cd "$ROOT"
  local seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))}
  echo "FUZZ_SEED=$seed"
  "$VENV/bin/python" -m pytest -k "fuzz or hypothesis" --timeout=3600 \
    --hypothesis-profile=fuzz --hypothesis-seed="$seed" "$@"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case "$command" in
  quickstart) quickstart "$@" ;;
  test) run_tests "$@" ;;
  faults) run_faults "$@" ;;
  fuzz) run_fuzz "$@" ;;
  install) install_for "$@" ;;
  local | slurm | tpu)
    . "$ROOT/scripts/launch/options.sh"
    . "$ROOT/scripts/launch/$command.sh"
    "launch_$command" "$@"
    ;;
  help | -h | --help) usage ;;
  *)
    if ! is_experiment "$command"; then
      usage >&2
      fail "there is no command $command"
    fi
    install_for "$command" "$@"
    find_program "$command"
    # Replaces this shell: a scheduler that ends a job sends SIGTERM to the process that it
    # started, and training saves its state then.
    exec "${PROGRAM[@]}" "$@"
    ;;
esac
