# shellcheck shell=bash
# What every script under tools/ needs: one line per step, a log, packages, locks.
# Sourced, never run. The caller sets LOG before its first step.

TUNDRA_CACHE=${TUNDRA_CACHE:-$HOME/.cache/tundra}
STEP_PGID='' TICKER_PGID=''
LOG_MAX=16000000

# A failure names its cause and the place to read on; the exit status tells the rest.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

need_root() { [ "$(id -u)" -eq 0 ] || die "needs root: it makes namespaces, mounts and device nodes"; }

# Hundredths of a second without starting a process.
now_cs() {
  local t=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((t / 10000))"
}

seconds_since() {
  local d=$(($(now_cs) - $1))
  printf '%d.%d' "$((d / 100))" "$((d % 100 / 10))"
}

# A step may start children of its own (compilers, apt): they all sit in its process group, so an interrupted
# script leaves none behind, nor the ticker that tells of its progress.
step_abort() {
  local group
  for group in $STEP_PGID $TICKER_PGID; do kill -TERM -- "-$group" 2>/dev/null || true; done
  STEP_PGID='' TICKER_PGID=''
}
trap step_abort EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step TEXT COMMAND...: runs the command with its output in $LOG and prints one line: text, progress every 30 s, result, time.
# The command runs in a background shell because `set -e` would be off inside it if it stood in an `if`.
step() {
  local text=$1 begin rc=0 mark
  shift
  begin=$(now_cs)
  mkdir -p "$(dirname "$LOG")"
  # Every run adds to it: the one before last is forgotten some day.
  [ "$(stat -c %s "$LOG" 2>/dev/null || echo 0)" -lt "$LOG_MAX" ] || mv "$LOG" "$LOG.old"
  printf '\n=== %s: %s\n' "$(date -u +%FT%TZ)" "$text" >>"$LOG"
  mark=$(wc -c <"$LOG")
  printf '%-58s ' "$text"
  # Own process groups (set -m), so that each ends with its children: a ticker's orphaned `sleep` would keep a caller's lock.
  set -m
  (while sleep 30; do printf '%ss ' "$((($(now_cs) - begin) / 100))"; done) 2>/dev/null 9>&- &
  TICKER_PGID=$!
  (
    set +m
    "$@"
  ) </dev/null >>"$LOG" 2>&1 &
  STEP_PGID=$!
  set +m
  wait "$STEP_PGID" || rc=$?
  STEP_PGID=''
  kill -- "-$TICKER_PGID" 2>/dev/null || true
  wait "$TICKER_PGID" 2>/dev/null || true
  TICKER_PGID=''
  if [ "$rc" -ne 0 ]; then
    printf 'FAILED after %s s\n' "$(seconds_since "$begin")"
    tail -c "+$((mark + 1))" "$LOG" | tail -n 15 | sed 's/^/    /' >&2
    die "\"$text\" failed (status $rc); the whole log: $LOG"
  fi
  printf 'ok %s s\n' "$(seconds_since "$begin")"
}

# have_step TEXT: the line of a step that had nothing to do.
have_step() { printf '%-58s ok (there already)\n' "$1"; }

# need_packages NAME...: installs the Debian packages that are missing; asks apt nothing when none is.
need_packages() {
  local p missing=()
  for p in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return 0
  fi
  step "packages: ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  # Other tools of this tree may run apt at the same moment: wait for its lock instead of failing.
  local opts=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  export DEBIAN_FRONTEND=noninteractive
  if ! timeout 900 apt-get "${opts[@]}" install -y --no-install-recommends "$@"; then
    timeout 300 apt-get "${opts[@]}" update
    timeout 900 apt-get "${opts[@]}" install -y --no-install-recommends "$@"
  fi
}

# with_lock FILE COMMAND...: one at a time; the lock goes with the process, so a crash leaves none.
# Daemons that the command starts must close descriptor 9 or they would hold the lock for as long as they live.
with_lock() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  exec 9>"$file"
  flock -w 3600 9 || die "another run has held $file for an hour"
  "$@"
  exec 9>&-
}

# wait_until SECONDS COMMAND...: asks again every 0.1 s; fails when the time is over.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}
