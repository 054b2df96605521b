# launch.sh slurm: write an sbatch file and submit it. Needs nothing but sbatch here: the
# environment is made by the job, on its first node.

launch_slurm() {
  split_arguments "$@"
  local options=() folder= gpus= tasks= option
  DRY_RUN=
  for option in ${OPTIONS[@]+"${OPTIONS[@]}"}; do
    case "$option" in
      --dry_run) DRY_RUN=1 ;;
      --logs=*) folder=$(expanded "${option#*=}") ;;
      # Settled by the file: another program, no requeue by its own signal.
      --wrap | --wrap=*) fail "slurm writes the job itself and takes no --wrap" ;;
      *)
        case "$option" in
          --gpus-per-node=* | --gres=gpu*) gpus=${option##*[=:]} ;;
          --ntasks* | -n* | --gpus-per-task*) tasks=1 ;;
        esac
        options+=("$option")
        ;;
    esac
  done
  check_command slurm
  need sbatch "submit from a login node of the cluster"
  if [ -z "$folder" ]; then
    folder=$(workdir_argument)
    folder=${folder:+$folder/}slurm
  fi
  case "$folder" in /*) ;; *) folder=$PWD/$folder ;; esac
  # One task a GPU, or one a node. All tasks of a node see all its GPUs, which is how JAX
  # finds the one of each.
  if [ -z "$tasks" ]; then
    case "$gpus" in '' | 0 | *[!0-9]*) gpus=1 ;; esac
    options=("--ntasks-per-node=$gpus" ${options[@]+"${options[@]}"})
  fi
  # SLURM replaces % in the name of the log.
  options=("--output=${folder//%/%%}/%j.log" "${options[@]}")
  local file
  file="$folder/$COMMAND-$(date +%Y%m%d-%H%M%S)-$$.sbatch"
  if [ -n "$DRY_RUN" ]; then
    echo "# $(quoted "$file"):"
    batch_file
    echo "# and then:"
    quoted sbatch "${options[@]}" "$file"
    return
  fi
  mkdir -p "$folder" || fail "the folder $folder for the sbatch file cannot be made"
  batch_file >"$file.part"
  mv "$file.part" "$file"
  local status=0
  sbatch "${options[@]}" "$file" || status=$?
  if [ "$status" -ne 0 ]; then
    echo "error: sbatch ended with status $status; the job is in $file" >&2
    exit "$status"
  fi
  echo "job file: $file"
  echo "log:      $folder/JOB.log; watch with: tail -F $(quoted "$folder")/JOB.log"
}

# Prints the sbatch file.
batch_file() {
  cat <<TEXT
#!/bin/bash
#SBATCH --job-name=vgg-unpool-$COMMAND
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
# Written by: ./launch.sh slurm. A requeued job continues in the same log.
# The signal goes to the tasks, not to this script: training saves and ends with 75.
set -euo pipefail
cd $(quoted "$PWD")
export ACCELERATOR=$ACCELERATOR VENV=$(quoted "$VENV") PYTHON=$(quoted "$PYTHON")
TEXT
  local name
  for name in VGG19_WEIGHTS VGG_UNPOOL_CACHE; do
    if [ -n "${!name:-}" ]; then echo "export $name=$(quoted "${!name}")"; fi
  done
  cat <<TEXT
launch=$(quoted "$ROOT/launch.sh")
command=($(quoted "$COMMAND" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}))
TEXT
  cat <<'TEXT'

# One task makes the environment; the others find it made. srun does not take the cores
# of a task over by itself.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
  export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
fi
"$launch" install "${command[@]}"

# This script itself gets SIGTERM when the job is cancelled or its time is up: then it is
# not to be started again by us. (A preempted job is requeued by SLURM.)
ended= interrupted= step=
trap 'ended=1; interrupted=1; kill -TERM "$step" 2>/dev/null || true' TERM
# The first task to end leaves the others 120 s: as long as they need to save, and no
# hang when one has died.
srun --kill-on-bad-exit=0 --wait=120 "$launch" "${command[@]}" &
step=$!
while :; do
  interrupted=
  status=0
  wait "$step" || status=$?
  [ -n "$interrupted" ] || break
done
if [ "$status" -eq 75 ] && [ -z "$ended" ]; then
  echo "saved; the job is requeued"
  scontrol requeue "$SLURM_JOB_ID" ||
    echo "error: the job could not be requeued; submit it again to resume" >&2
fi
exit "$status"
TEXT
}
