# Functions that the launchers share; read by launch.sh.

# split_arguments ARGUMENT...: sets OPTIONS to the arguments before the first that does
# not begin with a dash, COMMAND to that one and ARGUMENTS to the rest.
split_arguments() {
  OPTIONS=() COMMAND= ARGUMENTS=()
  while [ $# -gt 0 ]; do
    case "$1" in
      -*) OPTIONS+=("$1") ;;
      *)
        COMMAND=$1
        shift
        ARGUMENTS=("$@")
        return
        ;;
    esac
    shift
  done
}

# Ends with a sentence unless COMMAND can be started in several processes.
check_command() {
  [ -n "$COMMAND" ] || fail "$1 needs a command after its options, as in: train --config=..."
  is_experiment "$COMMAND" ||
    fail "$1 cannot start '$COMMAND', which is no command: options are written --NAME=VALUE"
}

# A path with a leading ~/ replaced, which bash does not do behind --NAME=.
expanded() {
  case "$1" in
    "~" | "~/"*) printf '%s' "$HOME${1#"~"}" ;;
    *) printf '%s' "$1" ;;
  esac
}

# The local workdir that ARGUMENTS name, or nothing.
workdir_argument() {
  local found= next= argument
  for argument in ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}; do
    if [ -n "$next" ]; then found=$argument next=; fi
    case "$argument" in
      --workdir=* | -workdir=*) found=${argument#*=} ;;
      --workdir | -workdir) next=1 ;;
    esac
  done
  case "$found" in
    *://*) ;;
    *) expanded "$found" ;;
  esac
}

# The arguments as one line that a shell reads back as they were.
quoted() {
  local line
  line=$(printf '%q ' "$@")
  printf '%s\n' "${line% }"
}

# Prints a command instead of running it where DRY_RUN is set.
perform() {
  if [ -n "$DRY_RUN" ]; then
    quoted "$@"
  else
    "$@"
  fi
}

# need TOOL WHERE: ends with a sentence unless the tool is there.
need() {
  [ -n "$DRY_RUN" ] || command -v "$1" >/dev/null 2>&1 || fail "there is no $1 on PATH: $2"
}
