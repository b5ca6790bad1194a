# shellcheck shell=bash
# The DaemonSet is rolled to another image while a pod runs and prepares arrive, and one side is killed (kill -9) at each step of the
# hand-over. No slice is lost or even written, no call fails, the pod keeps its GPU, and the newcomer has the ledger in the end.
#
# The steps hold still: the side that would go on is stopped (SIGSTOP) until the other one is dead. What is in flight in a process that is
# killed cannot be answered (15 is about that): where the newcomer dies a prepare waits in the old instance, and each time a pod comes
# right after the kill.
FOLDER=/var/lib/kubelet/plugins/gpu.nvidia.com
DEV=localhost/tundra:dev OTHER=localhost/tundra:other
STEPS=(started asked released taken)

# "NAME UID" of the driver's pods that are not on their way out, newest first.
driver_pods() {
  kd get pods -l tundra-component=kubelet-plugin -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null)]
    | sort_by(.metadata.creationTimestamp) | reverse | .[].metadata | "\(.name) \(.uid)"'
}
# The reactor of a pod, found by its cgroup: the API server hears of a container when the step is long over.
reactor() {
  local pid
  for pid in $(find /sys/fs/cgroup -path "*/$CGROUP/*pod$1/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != tundra ] || { echo "$pid"; return 0; }
  done
  return 1
}
# Whether an instance has written TEXT, before or after a restart.
says() { # says UID TEXT
  grep -qFs -- "$2" "$STATE/var-log/pods/tundra_"*"_$1/gpus/"*.log
}
at_once() { # at_once SECONDS TEXT COMMAND...: as eventually, but a step lasts no 0.3 s
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "not within the time: $what"
    sleep 0.02
  done
}
asks() { [ -f "/proc/$old_pid/root$FOLDER/ledger.handover" ]; }
newcomer_there() {
  read -r new new_uid <<<"$(driver_pods)"
  [ -n "$new" ] && [ "$new" != "$old" ]
}
# Brings the hand-over to a step and has it stay there, as far as it goes on by itself.
go_to() {
  [ "$1" = started ] || [ "$1" = taken ] || kill -STOP "$old_pid"
  eventually 30 "a second instance" newcomer_there
  at_once 30 "the newcomer has started" says "$new_uid" "serving node="
  new_pid=$(reactor "$new_uid") || fail "no process of the newcomer"
  case $1 in
    asked | released) at_once 30 "the newcomer asks for the hand-over" asks ;;
    taken) at_once 30 "the newcomer has the ledger" says "$new_uid" "ledger open" ;;
  esac
  [ "$1" = released ] || return 0
  kill -STOP "$new_pid"
  kill -CONT "$old_pid"
  at_once 30 "the old instance lets go" says "$old_uid" "ledger handed over"
}
settled() {
  local pods
  mapfile -t pods < <(driver_pods)
  [ "${#pods[@]}" = 1 ] && [ "${pods[0]}" = "$new $new_uid" ] && ! kd get pod "$old" >/dev/null 2>&1
}

# A claim that is allocated, as no scheduler would, the GPU of `stays`: its prepare waits in the running instance.
wait_for_gpu() {
  claim "$1" "$(gpu_request 1)"
  kn patch resourceclaim "$1" --subresource=status --type=merge -p "$2" >&2
  pod "$1" "claim=$1"
  waits() { [ -n "$(events_of "$1" Waiting)" ]; }
  eventually 30 "the driver says what the prepare waits for" waits "$1"
}

hand_over() { # hand_over STEP VICTIM IMAGE
  local name=$1-$2 begin=$SECONDS pid
  read -r old old_uid <<<"$(driver_pods)"
  old_pid=$(reactor "$old_uid") || fail "no process of the driver"
  if [ "$2" = new ]; then
    claim "held-$1" "$(gpu_request 1)"
    pod "holder-$1" "claim=held-$1"
    running "holder-$1"
    wait_for_gpu "waits-$1" "$(claim_json "held-$1" | jq -c '{status: {allocation: .status.allocation}}')"
  fi
  kd set image "daemonset/$DAEMONSET" "gpus=$3" >&2
  go_to "$1"
  if [ "$2" = new ]; then kill -KILL "$new_pid"; else kill -KILL "$old_pid"; fi
  say "$name: killed $((SECONDS - begin)) s after the roll-out began"
  kill -CONT "$new_pid" 2>/dev/null || true
  kill -CONT "$old_pid" 2>/dev/null || true
  # With the old one dead and the newcomer not known yet there is nobody whom the kubelet could call.
  [ "$name" != started-old ] || at_once 30 "the newcomer is registered" says "$new_uid" "registered by the kubelet"
  pod "$name" template=one
  running "$name" 45
  sees_its_gpus "$name"
  if [ "$2" = new ]; then
    same "phase of the pod that waits" Pending "$(phase "waits-$1")"
    delete_pods "holder-$1"
    running "waits-$1"
    no_event "waits-$1" FailedPrepareDynamicResources
  fi
  no_event "$name" FailedPrepareDynamicResources
  eventually 90 "$name: the newcomer alone is left" settled
  says "$new_uid" "ledger open" || fail "$name: the newcomer does not have the ledger"
  [ "$2" = old ] || delete_pods "waits-$1"
  delete_pods "$name"
  say "$name: over after $((SECONDS - begin)) s"
}

restarts=$(driver_restarts)
mend() {
  kill "$watcher" 2>/dev/null || true

  for pid in ${old_pid:-} ${new_pid:-}; do kill -CONT "$pid" 2>/dev/null || true; done
  [ "$(kd get daemonset "$DAEMONSET" -o jsonpath='{.spec.template.spec.containers[0].image}')" = "$DEV" ] || install_chart >"$WORK/install" 2>&1 || true
}
"$CLUSTER" ctr images tag --force "$DEV" "$OTHER" >&2
claim_template one "$(gpu_request 1)"
pod stays template=one
running stays
id=$(container_id stays)
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' >"$WORK/slices"
"$CLUSTER" kubectl get resourceslices --field-selector spec.driver=gpu.nvidia.com --watch --output-watch-events -o json >"$WORK/watch" 2>"$WORK/watch.err" &
watcher=$!
trap mend EXIT

errors=$(kubelet_errors)
early=()
for step in "${STEPS[@]}"; do
  hand_over "$step" new "$OTHER"
  same "failed calls at $step, newcomer killed" 0 "$(($(kubelet_errors) - errors))"
  hand_over "$step" old "$DEV"
  same "failed calls at $step, old one killed" 0 "$(($(kubelet_errors) - errors))"
  [ "$step" = released ] || [ "$step" = taken ] || early+=("$old_uid")
done

# The kubelet dials what is there every 5 s. What an instance left that died late goes a minute after the hand-over.
same "sockets of those that died at the first steps" "" "$(for uid in "${early[@]}"; do on_node find /var/lib/kubelet/plugins_registry "$FOLDER" -name "*$uid*"; done)"
kill -0 "$watcher" || fail "the watch of the slices ended: $(cat "$WORK/watch.err")"
same "what the slices' watch saw" "ADDED $GPU_COUNT" "$(jq -r '"\(.type) \(.object.spec.devices | length)"' "$WORK/watch")"
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' | diff -u "$WORK/slices" - >&2 || fail "a slice was written"
same "container that ran all the time" "$id" "$(container_id stays)"
sees_its_gpus stays
may_open stays main "/dev/nvidia$(nodes_inside stays)"
expect_restarts $(($(driver_restarts) - restarts))
delete_pods stays
