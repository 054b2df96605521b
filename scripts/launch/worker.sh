#!/usr/bin/env bash
# The part of `launch.sh tpu` on a worker: worker.sh setup | start | run | state |
# follow LINES | stop SECONDS. Everything lies in one folder:
#   tree.tar.gz  the checkout as it was sent, with the command in command.sh
#   tree/        the checkout; relative paths of the command are in here and are kept
#   venv/        its environment
#   run/         pid, log and status of the run
set -euo pipefail
cd "$HOME/vgg_unpool_jax"

# Whether a run is going on; sets PID to its process group.
is_running() {
  PID=$(cat run/pid 2>/dev/null) && [ ! -e run/status ] && kill -0 "$PID" 2>/dev/null
}

fail() {
  echo "error: $(hostname): $*" >&2
  exit 1
}

refuse_running() {
  ! is_running || fail "a run is going on here; stop it first: ./launch.sh tpu ... stop"
}

# Replaces the files of the last start by the new ones; outputs of runs stay.
setup() {
  refuse_running
  rm -rf tree.new
  mkdir -p tree tree.new run
  tar -xzf tree.tar.gz -C tree.new
  local path
  for path in tree.new/*; do
    rm -rf "tree/${path##*/}"
    mv "$path" tree/
  done
  rmdir tree.new
  . tree/command.sh  # which interpreter, and the arguments
  # Does nothing where the same requirements were installed before.
  ACCELERATOR=tpu VENV="$PWD/venv" tree/launch.sh install "${arguments[@]}"
}

# Starts the run in a session of its own, so that it outlives the connection.
start() {
  refuse_running
  rm -f run/status run/pid
  # The log of the run before, for once.
  if [ -e run/log ]; then mv run/log run/log.before; fi
  : >run/log
  setsid nohup bash "$PWD/tree/scripts/launch/worker.sh" run >>run/log 2>&1 </dev/null &
  local tries
  for tries in 1 2 3 4 5 6 7 8 9 10; do
    if [ -s run/pid ]; then return; fi
    sleep 0.5
  done
  fail "the run did not start ($tries tries); see run/log"
}

run() {
  local status child= interrupted=
  # Passed on: training saves and ends with 75.
  trap 'interrupted=1; kill -TERM "$child" 2>/dev/null || true' TERM
  echo $$ >run/pid.part
  mv run/pid.part run/pid
  . tree/command.sh  # sets arguments
  cd tree
  VGG_UNPOOL_CLUSTER=tpu ACCELERATOR=tpu VENV="${PWD%/*}/venv" \
    ./launch.sh "${arguments[@]}" &
  child=$!
  cd ..
  # A signal interrupts the waiting, not the run.
  while :; do
    interrupted= status=0
    wait "$child" || status=$?
    [ -n "$interrupted" ] || break
  done
  echo "$status" >run/status.part
  mv run/status.part run/status
}

# Tells the state in one line.
state() {
  local host
  host=$(hostname)
  if is_running; then
    echo "@worker $host running"
  elif [ -s run/status ]; then
    echo "@worker $host ended $(cat run/status)"
  elif [ -s run/pid ]; then
    echo "@worker $host vanished"  # the machine was restarted, or kill -9
  else
    echo "@worker $host idle"
  fi
}

# Prints the log to the end of the run.
follow() {
  [ -e run/log ] || fail "nothing was started here"
  if is_running; then
    tail -n "$1" -F --pid="$PID" run/log 2>/dev/null
  else
    tail -n "$1" run/log
  fi
}

# SIGTERM, so that training saves; after so many seconds SIGKILL to the whole session.
stop() {
  is_running || return 0
  kill -TERM "$PID"
  local waited=0
  while is_running; do
    if [ "$waited" -ge "$1" ]; then
      kill -KILL -- "-$PID"
      echo 137 >run/status
      echo "$(hostname): did not end in $1 s and was killed" >&2
      return
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

"$@"
