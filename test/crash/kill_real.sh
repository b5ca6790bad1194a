#!/usr/bin/env bash
# Real processes: tundra node with its workers on fake GPUs under strace, which ends them with SIGKILL behind one of their
# system calls; they are started again, as a DaemonSet does. The pods of `tundra-dev demo` must get and give back
# everything all the same, and nothing may be left in the kubelet's folders.
# usage: kill_real.sh FOLDER-OF-PROGRAMS [SYSCALL:N...]
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$1
shift
# LSan needs ptrace for itself.
export ASAN_OPTIONS=detect_leaks=0
# One of each kind, spread over first start, prepare and unprepare; of the reactor and the disk worker, whichever makes
# that many of them.
KILLS=("$@")
[ ${#KILLS[@]} -gt 0 ] || KILLS=(bind:2 rename:2 rename:5 rename:7 fdatasync:2 fdatasync:5 pwrite64:4 unlink:5)
NODE=n
DIR=$(mktemp -d /tmp/tundra-kill.XXXXXX)
DEV='' NODE_PID=''

if ! command -v strace >/dev/null; then
  echo "skipped: needs strace"
  [ "${TUNDRA_REQUIRE:-}" = all ] && exit 1
  exit 77
fi

# Processes of our own, by their pids: children first, since strace would leave them running.
end_tree() { # end_tree PID SIGNAL
  local child
  [ -n "$1" ] || return 0
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null || true); do end_tree "$child" "$2"; done
  kill "-$2" "$1" 2>/dev/null || true
}

finish() {
  trap - EXIT
  end_tree "$NODE_PID" KILL
  end_tree "$DEV" KILL
  rm -rf "$DIR"
}
trap finish EXIT

die() {
  echo "kill_real: $*" >&2
  tail -n 15 "$DIR/dev.log" "$DIR/node.log" >&2 || true
  exit 1
}

node_args() {
  local n=$DIR/$NODE
  ARGS=(node --node-name "$NODE" --kubeconfig "$DIR/kubeconfig" --kubelet-plugins-directory-path "$n/plugins"
    --kubelet-registrar-directory-path "$n/plugins_registry" --cdi-root "$n/cdi" --run-directory "$n/run"
    --container-driver-root "$DIR/gpus" --nvidia-driver-root "$DIR/gpus" --dev-root "$DIR/gpus/dev"
    --proc-root "$DIR/gpus/proc" --sys-root "$DIR/gpus/sys" --http-endpoint "")
}

start_world() {
  rm -rf "$DIR"
  mkdir "$DIR"
  "$TOP/tools/fakegpu" make --profile h100 --count 8 --root "$DIR/gpus" >"$DIR/gpus.log"
  find "$DIR/gpus/dev" -type f -exec ln -sf /dev/null {} \;
  "$BIN/tundra-dev" demo --once --dir "$DIR" --node "$NODE" --gpus 8 --sync 1s --wait 30s </dev/null >"$DIR/dev.log" 2>&1 &
  DEV=$!
  for _ in $(seq 200); do
    [ -e "$DIR/kubeconfig" ] && return 0
    sleep 0.05
  done
  die "tundra-dev does not start"
}

# Until the demo ends by itself; the first life is the one that is killed.
live() { # live SYSCALL N
  local inject=(strace -f -o "$DIR/strace.log" -e "trace=$1" -e "inject=$1:signal=SIGKILL:when=$2") rc
  lives=0
  while kill -0 "$DEV" 2>/dev/null; do
    lives=$((lives + 1))
    # Another pod each time, so that a dead one's sockets are not simply taken again.
    "${inject[@]}" "$BIN/tundra" "${ARGS[@]}" --pod-uid "pod-$lives" </dev/null >>"$DIR/node.log" 2>&1 &
    NODE_PID=$!
    disown "$NODE_PID" # the shell need not tell of its end
    inject=()
    while kill -0 "$NODE_PID" 2>/dev/null && kill -0 "$DEV" 2>/dev/null; do sleep 0.05; done
  done
  rc=0
  wait "$DEV" || rc=$?
  DEV=''
  [ "$rc" -eq 0 ] || die "$1 number $2: the demo ends with $rc"
  grep -q 'killed by SIGKILL' "$DIR/strace.log" || die "$1 number $2: nobody made so many calls"
}

# In order, as the DaemonSet's deletion.
stop_node() {
  end_tree "$NODE_PID" TERM
  for _ in $(seq 200); do
    kill -0 "$NODE_PID" 2>/dev/null || return 0
    sleep 0.05
  done
  die "tundra does not end"
}

# Temporary names go half a minute later, too late for us: see test/sim/crash.c.
left() {
  find "$DIR/$NODE/plugins/gpu.nvidia.com" "$DIR/$NODE/plugins_registry" "$DIR/$NODE/cdi" -mindepth 1 \
    ! -name ledger ! -name ledger.lock ! -name tundra-cdi-hook ! -name '.*.tmp' ! -name '.*.sock' -printf '%f '
}

for kill in "${KILLS[@]}"; do
  start_world
  node_args
  live "${kill%:*}" "${kill#*:}"
  stop_node
  NODE_PID=''
  [ -z "$(left)" ] || die "$kill: left: $(left)"
  echo "killed behind ${kill%:*} number ${kill#*:}: $lives lives, everything given back"
done
