# launch.sh tpu: the same command on all workers of a TPU VM. Needs gcloud and tar here;
# what runs on the workers is worker.sh.

# On the workers, in the home folder.
TPU_FOLDER=vgg_unpool_jax
# The part of the checkout that a training needs.
TPU_FILES=(launch.sh scripts requirements.txt requirements-gcs.txt configs experiments
  vgg_unpool_jax)

launch_tpu() {
  local options=()
  TPU_NAME= TPU_ZONE= TPU_PROJECT=() DRY_RUN= GRACE=180
  while [ $# -gt 0 ]; do
    case "$1" in
      --dry_run) DRY_RUN=1 ;;
      --project=?*) TPU_PROJECT=("$1") ;;
      --grace=*) GRACE=${1#*=} ;;
      -*) fail "tpu knows --project=PROJECT, --grace=SECONDS and --dry_run, got $1" ;;
      *)
        if [ -z "$TPU_NAME" ]; then
          TPU_NAME=$1
        elif [ -z "$TPU_ZONE" ]; then
          TPU_ZONE=$1
        else
          break
        fi
        ;;
    esac
    shift
  done
  case "$GRACE" in
    '' | *[!0-9]*) fail "--grace must be a number of seconds, got '$GRACE'" ;;
  esac
  [ $# -gt 0 ] || fail "tpu needs NAME ZONE and a command, or status, logs or stop"
  need gcloud "install the Google Cloud CLI"
  case "$1" in
    status | logs | stop)
      [ $# -eq 1 ] || fail "tpu $1 takes no arguments, got $2"
      "tpu_$1"
      ;;
    *)
      split_arguments "$@"
      check_command tpu
      tpu_start
      ;;
  esac
}

# tpu_ssh WORKER COMMAND: run a command on a worker, or on all.
tpu_ssh() {
  perform gcloud compute tpus tpu-vm ssh "$TPU_NAME" "--zone=$TPU_ZONE" \
    ${TPU_PROJECT[@]+"${TPU_PROJECT[@]}"} "--worker=$1" "--command=$2"
}

# tpu_worker WORKER VERB...: run worker.sh there.
tpu_worker() {
  local worker=$1
  shift
  tpu_ssh "$worker" "bash $TPU_FOLDER/tree/scripts/launch/worker.sh $*"
}

# Sets WORKERS to the number of workers.
tpu_find() {
  local found state addresses
  local describe=(gcloud compute tpus tpu-vm describe "$TPU_NAME" "--zone=$TPU_ZONE"
    ${TPU_PROJECT[@]+"${TPU_PROJECT[@]}"}
    "--format=value(state,networkEndpoints[].ipAddress)")
  WORKERS=0
  if [ -n "$DRY_RUN" ]; then
    perform "${describe[@]}"
    return
  fi
  found=$("${describe[@]}") || fail "gcloud does not find the TPU VM $TPU_NAME in $TPU_ZONE"
  state=${found%%[[:space:]]*}
  addresses=${found##*[[:space:]]}
  [ "$state" = READY ] || fail "the TPU VM $TPU_NAME is ${state:-in no state}, not READY"
  # One address a worker, with semicolons between.
  addresses=${addresses//[!;]/}
  WORKERS=$((${#addresses} + 1))
}

tpu_start() {
  local archive command status=0
  tpu_find
  if [ -n "$DRY_RUN" ]; then
    archive=/tmp/vgg_unpool_jax.tar.gz command=/tmp
    echo "# with this in the file /tmp/command.sh:"
    tpu_command_file
    echo "# these:"
  else
    TPU_ASIDE=$(mktemp -d)
    trap 'rm -rf "$TPU_ASIDE"' EXIT
    archive=$TPU_ASIDE/vgg_unpool_jax.tar.gz command=$TPU_ASIDE
    tpu_command_file >"$TPU_ASIDE/command.sh"
  fi
  # The files as they are, committed or not; what was compiled here is of no use there.
  perform tar -czf "$archive" --exclude=__pycache__ -C "$ROOT" "${TPU_FILES[@]}" \
    -C "$command" command.sh || fail "the checkout could not be packed"
  tpu_ssh all "mkdir -p $TPU_FOLDER" ||
    fail "not all workers of $TPU_NAME can be reached by ssh"
  perform gcloud compute tpus tpu-vm scp "$archive" \
    "$TPU_NAME:$TPU_FOLDER/tree.tar.gz" "--zone=$TPU_ZONE" \
    ${TPU_PROJECT[@]+"${TPU_PROJECT[@]}"} --worker=all ||
    fail "the checkout could not be copied to all workers"
  # The archive brings worker.sh along.
  tpu_ssh all "tar -xzOf $TPU_FOLDER/tree.tar.gz scripts/launch/worker.sh >$TPU_FOLDER/worker.sh && bash $TPU_FOLDER/worker.sh setup" ||
    fail "a worker could not be set up; its sentence stands above"
  tpu_worker all start || {
    # Some may have started: none of them would get on without the others.
    tpu_worker all stop "$GRACE" || true
    fail "not all workers started; those that did were stopped"
  }
  tpu_logs
  tpu_collect || status=$?
  [ "$status" -ne 75 ] || echo "saved; the same command resumes there" >&2
  return "$status"
}

# The file that worker.sh reads: the command, and variables of the environment.
tpu_command_file() {
  echo "arguments=($(quoted "$COMMAND" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}))"
  local name
  for name in PYTHON VGG19_WEIGHTS VGG_UNPOOL_CACHE; do
    if [ -n "${!name:-}" ]; then echo "export $name=$(quoted "${!name}")"; fi
  done
}

# The log of worker 0 from the start of its run to its end. The run does not need us: a
# broken connection is made again, Ctrl-C ends the listening alone.
tpu_logs() {
  local tries=0 lines=+1
  echo "log of worker 0; Ctrl-C leaves the run alone, and these look after it:" >&2
  local verb
  for verb in logs status stop; do
    quoted "./launch.sh" tpu "$TPU_NAME" "$TPU_ZONE" ${TPU_PROJECT[@]+"${TPU_PROJECT[@]}"} \
      "$verb" >&2
  done
  until tpu_worker 0 follow "$lines"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 10 ]; then
      fail "the log of worker 0 cannot be read; the run may continue: see status"
    fi
    echo "the connection to worker 0 was lost; trying again" >&2
    lines=20
    sleep "${TPU_RETRY_SECONDS:-10}"
  done
}

# One line for each worker: @worker HOST STATE [STATUS].
# The workers that cannot be reached are missing; tpu_table counts.
tpu_states() {
  tpu_worker all state | grep '^@worker ' || true
}

tpu_status() {
  tpu_find
  if [ -n "$DRY_RUN" ]; then
    tpu_worker all state
    return
  fi
  tpu_table "$(tpu_states)"
}

# Prints the states; the status is 0, 75 or what the first failed worker ended with.
tpu_table() {
  local answered=0 running=0 again=0 worst=0 host state status
  while read -r _ host state status; do
    [ -n "$host" ] || continue
    answered=$((answered + 1))
    echo "$host: $state${status:+ with status $status}"
    case "$state $status" in
      "ended 0") ;;
      "ended 75") again=75 ;;
      "ended "*) [ "$worst" -ne 0 ] || worst=$status ;;
      "running "*) running=$((running + 1)) ;;
      *) [ "$worst" -ne 0 ] || worst=1 ;;
    esac
  done <<<"$1"
  if [ "$answered" -lt "$WORKERS" ]; then
    echo "error: only $answered of $WORKERS workers reported their state" >&2
    [ "$worst" -ne 0 ] || worst=1
  fi
  RUNNING=$running
  [ "$worst" -ne 0 ] || worst=$again
  return "$worst"
}

# After worker 0 has ended: the others get --grace seconds to end too.
tpu_collect() {
  [ -z "$DRY_RUN" ] || {
    tpu_worker all state
    return
  }
  local began=$SECONDS states=
  while :; do
    states=$(tpu_states)
    tpu_table "$states" >/dev/null 2>&1 || true  # for RUNNING
    [ "$RUNNING" -gt 0 ] || break
    if [ $((SECONDS - began)) -ge "$GRACE" ]; then
      echo "worker 0 ended and $RUNNING others did not in $GRACE s: ending them" >&2
      tpu_worker all stop 10 || true
      states=$(tpu_states)
      break
    fi
    sleep "${TPU_RETRY_SECONDS:-10}"
  done
  tpu_table "$states"
}

tpu_stop() {
  tpu_find
  tpu_worker all stop "$GRACE" || fail "not all workers could be stopped: see status"
  # All statuses are fine, since the workers were asked to stop.
  [ -n "$DRY_RUN" ] || tpu_status || true
}
