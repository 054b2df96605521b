# launch.sh local: several processes on this machine; the work is done by local.py.

launch_local() {
  split_arguments "$@"
  check_command local
  local python=$VENV/bin/python dry= option
  for option in ${OPTIONS[@]+"${OPTIONS[@]}"}; do
    [ "$option" != --dry_run ] || dry=1
  done
  if [ -z "$dry" ]; then
    install_for ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
  else
    python=$PYTHON
  fi
  local logs
  logs=$(workdir_argument)
  find_program "$COMMAND"
  # The user's options come later and win.
  exec "$python" "$ROOT/scripts/launch/local.py" "--logs=${logs:+$logs/}logs" \
    ${OPTIONS[@]+"${OPTIONS[@]}"} -- "${PROGRAM[@]}" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
}
