# shellcheck shell=bash
# The processes of one cluster and the namespaces they live in. Sourced by tools/cluster after step.sh.
#
# Everything a node does to a machine happens in a network and a mount namespace of its own, held by one sleeping process:
# bridges, nft rules, /run, /var/lib/kubelet and the kubelet's mounts. When the last process ends the kernel takes
# them back, so a cluster that was killed leaves nothing behind. Processes sit in one cgroup per cluster for the same reason.

# A daemon is ours if its environment says so; a pid file alone might name a stranger after the pid was used again.
proc_mark() { printf 'TUNDRA_CLUSTER_PROC=%s:%s' "${2:-$STATE}" "$1"; }

# proc_pid NAME [STATE]: of this node, or of that with another state folder.
proc_pid() {
  local pid
  pid=$(cat "${2:-$STATE}/pid/$1" 2>/dev/null) || return 1
  [ -n "$pid" ] || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "$(proc_mark "$@")" || return 1
  printf '%s\n' "$pid"
}

proc_alive() { proc_pid "$@" >/dev/null; }

# Waits for a pid to be gone; a zombie that nobody has reaped yet has an empty environment and counts as gone.
proc_gone() { ! proc_alive "$1"; }

# proc_start NAME COMMAND...: in a session of its own, in the node's cgroup and namespaces, log in $STATE/log/NAME.log.
proc_start() {
  local name=$1
  shift
  proc_gone "$name" || return 0
  rm -f "$STATE/pid/$name"
  # shellcheck disable=SC2016 # expanded by the inner shell, whose pid is the one that counts
  env "$(proc_mark "$name")" setsid bash -c '
    echo $$ >"$1"
    for tasks in $2; do echo $$ >"$tasks" || exit 1; done
    shift 2
    exec "$@"' "$name" "$STATE/pid/$name" "$(cgroup_tasks)" "$@" </dev/null >>"$STATE/log/$name.log" 2>&1 9>&- &
  wait_until 5 proc_alive "$name" || {
    tail -n 5 "$STATE/log/$name.log" >&2
    die "$name did not start; its log: $STATE/log/$name.log"
  }
}

# proc_stop NAME SECONDS: SIGTERM, and SIGKILL when the time is over; 0 is SIGKILL at once, as a crash is.
proc_stop() {
  local pid
  pid=$(proc_pid "$1") || { rm -f "$STATE/pid/$1"; return 0; }
  [ "$2" -eq 0 ] || kill -TERM "$pid" 2>/dev/null || true
  if ! wait_until "$2" proc_gone "$1"; then
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 5 proc_gone "$1" || die "$1 (pid $pid) does not end, not even by SIGKILL"
  fi
  rm -f "$STATE/pid/$1"
}

# --- cgroups: both layouts, because the development machines have version 1 and most others version 2 ---

cgroup_unified() { [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; }

# The folders, one per hierarchy, that belong to this cluster.
cgroup_dirs() {
  local d
  if cgroup_unified; then
    printf '%s\n' "/sys/fs/cgroup/$CGROUP"
    return 0
  fi
  for d in /sys/fs/cgroup/*/; do
    # "unified" is the version 2 tree beside the version 1 ones: runc makes folders there too.
    case $(stat -fc %T "$d") in cgroupfs | cgroup2fs) printf '%s\n' "$d$CGROUP" ;; esac
  done
}

# Daemons are put in the child "node" (version 2 allows no processes beside child groups); the kubelet makes "kubepods" next to it.
cgroup_tasks() {
  local d
  cgroup_dirs | while read -r d; do
    case $d in
      */unified/* | */pids/* | "/sys/fs/cgroup/$CGROUP") printf '%s/node/cgroup.procs ' "$d" ;;
    esac
  done
}

cgroup_make() {
  local d f
  cgroup_dirs | while read -r d; do
    mkdir -p "$d/node"
    if [ -f "$d/../cpuset.cpus" ] && ! cgroup_unified; then
      # A new version 1 cpuset is empty and takes no process until it is filled.
      for f in cpuset.cpus cpuset.mems; do
        cat "$d/../$f" >"$d/$f"
        cat "$d/$f" >"$d/node/$f"
      done
    fi
    if cgroup_unified; then
      for f in $(<"$d/../cgroup.controllers"); do
        echo "+$f" >"$d/../cgroup.subtree_control" || true
        echo "+$f" >"$d/cgroup.subtree_control" || true
      done
    fi
  done
}

cgroup_pids() {
  local d
  cgroup_dirs | while read -r d; do
    [ ! -d "$d" ] || find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}

cgroup_empty() { [ -z "$(cgroup_pids)" ]; }

# Whatever still runs in the cluster's cgroup was started by it: shims and containers that outlived their daemon.
cgroup_kill() {
  local pid
  wait_until 10 cgroup_kill_once || die "these processes of the cluster do not end: $(cgroup_pids | tr '\n' ' ')"
}

cgroup_kill_once() {
  local pid
  for pid in $(cgroup_pids); do kill -KILL "$pid" 2>/dev/null || true; done
  cgroup_empty
}

cgroup_remove() {
  local d
  cgroup_dirs | while read -r d; do
    [ ! -d "$d" ] || find "$d" -depth -type d -exec rmdir {} +
  done
}

# --- the holder of the namespaces ---

# Runs inside the new namespaces, first thing.
# /run is the node's own: its CDI folder, its CNI namespaces and runc's state vanish with it, as on a machine that reboots.
# shellcheck disable=SC2016 # expanded by the shell inside
holder_script='
set -eu
mount --make-rshared /
# Every node has its GPUs under the same path, since the chart has one value for all.
[ "$1" = "$3" ] || mount --bind "$1/gpus" "$3/gpus"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/cdi /run/user
mount --bind "$1/kubelet" /var/lib/kubelet
mount --bind "$1/var-lib-cni" /var/lib/cni
mount --bind "$1/var-log" /var/log
ip link set lo up
# A bridge takes the lowest address of its ports, and another one when they change, unless it was given its own.
ip link add cni0 address "0a:58:0a:58:00:0$4" type bridge
ip addr add "$2/16" dev cni0
ip link set cni0 up
: >"$1/run-ready"
exec sleep infinity
'

holder_start() {
  proc_gone holder || return 0
  # Mount points that the machine may lack; empty folders outside the namespace.
  mkdir -p /var/lib/kubelet /var/lib/cni "$STATE"/{kubelet,var-lib-cni,var-log}
  rm -f "$STATE/run-ready"
  # Shared from the start: pods that ask for mount propagation are refused on a private /, and / is private where no systemd runs.
  # shellcheck disable=SC2153 # MAIN is set by tools/cluster
  proc_start holder unshare --mount --net --propagation private -- bash -c "$holder_script" holder "$STATE" "$NODE_IP" "$MAIN" "$INDEX"
  wait_until 5 test -f "$STATE/run-ready" || die "the node's namespaces were not set up: $STATE/log/holder.log"
}

# in_node COMMAND...: the node's network and mounts, the caller's working folder.
in_node() { in_node_of "$STATE" "$@"; }
# The same on the first node, which has the control plane.
in_main() { in_node_of "$MAIN" "$@"; }

in_node_of() {
  local state=$1 pid
  shift
  pid=$(proc_pid holder "$state") || die "no cluster is running in $state (start it: tools/cluster up)"
  nsenter --target "$pid" --net --mount --wdns="$PWD" -- "$@"
}

# From this node's bridge to the first node's. It goes with this node's network.
cable_plug() {
  local name=node-$INDEX main
  main=$(proc_pid holder "$MAIN") || die "no cluster is running in $MAIN"
  ! in_node ip link show cable >/dev/null 2>&1 || return 0
  # A node that was killed a moment ago may still be in the kernel's hands.
  wait_until 5 cable_is_free "$name" || die "a cable of $name is still there on the first node"
  in_node ip link add cable type veth peer name "$name" netns "$main"
  in_node ip link set cable master cni0 up
  in_main ip link set "$name" master cni0 up
}
cable_is_free() { ! in_main ip link show "$1" >/dev/null 2>&1; }

# The same as a prefix for proc_start, which must exec it to know its pid.
in_node_prefix() {
  local pid
  pid=$(proc_pid holder) || die "no cluster is running in $STATE"
  printf '%s\n' nsenter --target "$pid" --net --mount --wdns=/ --
}
