# shellcheck shell=bash
# What every cluster test has at hand. Sourced by test/cluster/run and by the shell of each test.
#
# A test runs in a namespace of its own ($NS), with `set -euo pipefail`; it fails by `fail`, by a command that fails, or by its time limit.
# Everything it made must be gone at its end: run looks at the ledger, the CDI folder, the kubelet's cache and its error counters.

CLUSTER=$TOP/tools/cluster
# shellcheck source=tools/lib/cluster-tundra.sh
. "$TOP/tools/lib/cluster-tundra.sh"
# shellcheck disable=SC2034 # for run and the tests
NVIDIA_MAJOR=195
# Until a signal comes; as process 1 a shell without a trap would ignore it.
IDLE="trap 'exit 0' TERM; sleep infinity & wait"

# kubectl has no limit of its own: an API server or a driver that hangs must fail a test, not hold up the run. No call here may take longer.
kc() { timeout --kill-after=5 150 "$CLUSTER" kubectl "$@"; }
kn() { kc -n "$NS" "$@"; }
kd() { kc -n tundra "$@"; }
on_node() { timeout --kill-after=5 60 "$CLUSTER" exec "$@"; }
say() { printf '%s\n' "$*" >&2; }

fail() {
  say "FAILED: $*"
  exit 1
}

# eventually SECONDS TEXT COMMAND...: asks every 0.3 s.
eventually() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "not within the time: $what"
    sleep 0.3
  done
}

# same TEXT WANTED GOT
same() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# --- making things ---

# What stands in `devices` of a claim for N whole GPUs, each with the CEL expressions given.
gpu_request() {
  local n=$1
  shift
  jq -nc --argjson n "$n" '{requests: [{name: "gpu", exactly: ({deviceClassName: "gpu.nvidia.com", allocationMode: "ExactCount", count: $n}
    + (if ($ARGS.positional | length) > 0 then {selectors: [$ARGS.positional[] | {cel: {expression: .}}]} else {} end))}]}' --args "$@"
}

# claim NAME DEVICES, claim_template NAME DEVICES
claim() {
  jq -n --arg n "$1" --argjson d "$2" '{apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", metadata: {name: $n}, spec: {devices: $d}}' |
    kn create -f - >&2
}
claim_template() {
  jq -n --arg n "$1" --argjson d "$2" \
    '{apiVersion: "resource.k8s.io/v1", kind: "ResourceClaimTemplate", metadata: {name: $n}, spec: {spec: {devices: $d}}}' | kn create -f - >&2
}

# pod NAME [CLAIM_FIELD=VALUE] [JQ]: a pod with one container "main"; CLAIM_FIELD is claim or template; JQ changes the object.
pod() {
  local name=$1 use=${2:-} change=${3:-.} object
  object=$(jq -n --arg name "$name" --arg image "$TEST_IMAGE" --arg idle "$IDLE" '{
    apiVersion: "v1", kind: "Pod", metadata: {name: $name},
    spec: {restartPolicy: "Never", terminationGracePeriodSeconds: 3, automountServiceAccountToken: false,
      containers: [{name: "main", image: $image, command: ["/bin/sh", "-c", $idle]}]}}')
  case $use in
    claim=*) object=$(jq --arg c "${use#*=}" '.spec.resourceClaims = [{name: "gpu", resourceClaimName: $c}]' <<<"$object") ;;
    template=*) object=$(jq --arg c "${use#*=}" '.spec.resourceClaims = [{name: "gpu", resourceClaimTemplateName: $c}]' <<<"$object") ;;
  esac
  [ -z "$use" ] || object=$(jq '.spec.containers[0].resources.claims = [{name: "gpu"}]' <<<"$object")
  jq "$change" <<<"$object" | kn create -f - >&2
}

# --- asking ---

running() { kn wait --for=condition=Ready "pod/$1" --timeout="${2:-30}s" >&2 || fail "pod $1 does not run"; }
# After a failed prepare the kubelet asks again in a minute, or as soon as it hears of a change of the pod: nothing is proved by the minute.
nudge() { kn annotate pod "$@" "tundra.test/nudge=$SECONDS" --overwrite >&2; }
is_ready() { [ "$(kn get pod "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
running_soon() { # running_soon SECONDS POD...: nudged every few seconds
  local end=$((SECONDS + $1)) pod
  shift
  for pod in "$@"; do
    until is_ready "$pod"; do
      [ "$SECONDS" -lt "$end" ] || fail "pod $pod does not run"
      nudge "$pod" || true
      kn wait --for=condition=Ready "pod/$pod" --timeout=4s >&2 || true
    done
  done
}
phase() { kn get pod "$1" -o jsonpath='{.status.phase}'; }
# Waits for the kubelet's last word, so Unprepare has been called when this returns.
delete_pods() { kn delete pod "$@" --wait --timeout=60s >&2; }

# exec_in NAMESPACE POD CONTAINER COMMAND...: a kubelet that has just started serves exec before it has heard of its pods, and
# containerd forgets a container a moment before the kubelet knows of the next one. Nothing ran then: it is asked again, for 60 s.
exec_in() {
  local ns=$1 pod=$2 container=$3 end=$((SECONDS + 60)) said rc
  shift 3
  said=$(mktemp)
  while :; do
    rc=0
    kc -n "$ns" exec "$pod" -c "$container" -- "$@" 2>"$said" || rc=$?
    if [ "$rc" -eq 0 ] || ! grep -qF 'unable to upgrade connection' "$said" || [ "$SECONDS" -ge "$end" ]; then break; fi
    sleep 0.5
  done
  cat "$said" >&2
  rm -f "$said"
  return "$rc"
}
inside() { exec_in "$NS" "$@"; }
container_id() { kn get pod "$1" -o jsonpath='{.status.containerStatuses[0].containerID}'; }

# Name of the claim that a pod's first entry stands for.
claim_of() { kn get pod "$1" -o jsonpath='{.status.resourceClaimStatuses[0].resourceClaimName}{.spec.resourceClaims[0].resourceClaimName}'; }
claim_json() { kn get resourceclaim "$1" -o json; }
# Device names a claim was given, one per line, in order of the result.
allocated() { claim_json "$1" | jq -r '.status.allocation.devices.results[].device'; }

slices() { kc get resourceslices --field-selector spec.driver=gpu.nvidia.com -o json; }
slice_devices() { slices | jq -r '[.items[].spec.devices[]?.name] | length'; }
uuid_of() { slices | jq -r --arg d "$1" '.items[].spec.devices[] | select(.name == $d) | .attributes.uuid.string'; }

# What the API server wrote down about slices from here on, and when it was first asked to make one since: microseconds, nothing if it was not.
audit_mark() { stat -c %s "$STATE/log/audit.log"; }
slice_created() { # slice_created MARK
  local first
  first=$(tail -c "+$(($1 + 1))" "$STATE/log/audit.log" | jq -r 'select(.verb == "create" and .objectRef.resource == "resourceslices"
    and .responseStatus.code == 201) | .requestReceivedTimestamp' | sort | sed -n 1p)
  [ -z "$first" ] || date -d "$first" +%s%6N
}

# The minor number that the kernel's own files give for a UUID: not what the driver under test believes.
minor_of_uuid() {
  local file
  file=$(grep -lF "$1" "$GPUS"/proc/driver/nvidia/gpus/*/information) || fail "no GPU $1 in the fake /proc"
  awk '$1 == "Device" && $2 == "Minor:" { print $3 }' "$file"
}

# Device names on stdin, minors out, sorted.
minors() {
  local d
  while read -r d; do minor_of_uuid "$(uuid_of "$d")"; done | sort -n
}

# "minor" of every whole-GPU node in a container, sorted; anything that is not a character device of NVIDIA's major is an error.
# It is compared in a `$(...)`, where a failure would pass for "no GPU": therefore a failure is something to read, too.
nodes_inside() {
  local listing name kind major minor
  # shellcheck disable=SC2016 # for the shell in the container
  listing=$(inside "$1" "${2:-main}" sh -c 'for d in /dev/nvidia[0-9]*; do [ ! -e "$d" ] || stat -c "%n %F|%t %T" "$d"; done') || {
    echo "(cannot look into $1/${2:-main})"
    return 1
  }
  [ -n "$listing" ] || return 0
  while IFS='| ' read -r name kind _ _ major minor; do
    if [ "$kind" != character ] || [ "$major" != "$(printf '%x' "$NVIDIA_MAJOR")" ] || [ "$name" != "/dev/nvidia$((16#$minor))" ]; then
      echo "($name in $1 is $kind $major:$minor)"
    else
      printf '%d\n' "$((16#$minor))"
    fi
  done <<<"$listing" | sort -n
}

# The container sees exactly the GPUs of the claim: the same minors, no more, no fewer.
sees_its_gpus() {
  local pod=$1 container=${2:-main} claim=${3:-} wanted
  [ -n "$claim" ] || claim=$(claim_of "$pod")
  wanted=$(allocated "$claim" | minors | paste -sd,)
  [ -n "$wanted" ] || fail "claim $claim of $pod is allocated nothing"
  same "GPUs in $pod/$container" "$wanted" "$(nodes_inside "$pod" "$container" | paste -sd,)"
}

# open_says POD CONTAINER NODE: "ok", or the system's word for why not. Fake nodes have no driver behind them, so ENXIO
# ("No such device or address") means that the device cgroup let the open through, EPERM ("Operation not permitted") that it did not.
open_says() {
  # shellcheck disable=SC2016 # for the shell in the container
  inside "$1" "$2" sh -c '(: <"$1") 2>&1 && echo ok || true' sh "$3" | sed 's/.*: //'
}
may_open() { same "opening $3 in $1" "No such device or address" "$(open_says "$@")"; }
may_not_open() { same "opening $3 in $1" "Operation not permitted" "$(open_says "$@")"; }

# --- the driver and the kubelet ---

driver_pod() { kd get pods -l tundra-component=kubelet-plugin --field-selector status.phase=Running -o jsonpath='{.items[0].metadata.name}'; }
driver_container() { kd get pod "$(driver_pod)" -o jsonpath='{.status.containerStatuses[0].containerID}' | sed 's,.*//,,'; }
# Process id on this machine of a container's first process.
pid_of_container() { timeout --kill-after=5 60 "$CLUSTER" ctr tasks ls 2>/dev/null | awk -v id="$1" '$1 == id { print $2 }'; }
driver_pid() {
  local id
  id=$(driver_container)
  pid_of_container "$id"
}
driver_restarts() { kd get pods -l tundra-component=kubelet-plugin -o json | jq '[.items[].status.containerStatuses[]?.restartCount] | add // 0'; }
driver_status() { exec_in tundra "$(driver_pod)" gpus tundra status -o json; }
driver_log() { kd logs "$(driver_pod)" -c gpus "$@"; }
# log_says POD TEXT [KUBECTL FLAG...]. No pipe: a grep that has found something ends, and with it, in failure, whoever still writes.
log_says() {
  local text
  text=$(kd logs "$1" -c gpus "${@:3}" 2>/dev/null) && [[ $text == *"$2"* ]]
}

# The DaemonSet stays, its pod goes; and back. Whoever calls driver_away sets a trap for driver_back: left away by a failure, the driver
# would be missing in every test that follows.
driver_away() {
  kd patch daemonset "$DAEMONSET" --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"tundra.test/away":"true"}}}}}' >&2
  eventually 90 "the driver is gone" driver_is_gone
}
driver_is_gone() { [ "$(kd get pods -l tundra-component=kubelet-plugin -o json | jq '.items | length')" = 0 ]; }
driver_back() {
  kd patch daemonset "$DAEMONSET" --type=json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/tundra.test~1away"}]' >&2
  eventually 60 "the driver has registered and published" driver_publishes
}
# The slices of the one before may still be there: they say nothing of this one.
driver_publishes() { [ "$(driver_status 2>/dev/null | jq -r '[.. | objects | select(has("registered")) | .registered] | all')" = true ] && [ "$(slice_devices)" = "$GPU_COUNT" ]; }
driver_metrics() { on_node curl -sf --max-time 10 "http://$(kd get pod "$(driver_pod)" -o jsonpath='{.status.podIP}'):8080/metrics"; }
# What the driver itself counts as failed, of `prepare` or `unprepare`.
driver_errors() {
  driver_metrics |
    awk -v op="operation=\"$1\"" '/^tundra_requests_total\{/ && /result="error"/ && index($0, op) { n += $NF; seen = 1 } END { if (!seen) exit 1; print n }'
}

# Kubernetes 1.35 says the opposite of what it means: FormatBool(err == nil), in pkg/kubelet/cm/dra/manager.go.
IS_ERROR='is_error="true"'
[ "${TUNDRA_K8S:-1.36}" != 1.35 ] || IS_ERROR='is_error="false"'

# Sum of the kubelet's failed DRA operations. The counters start anew with the kubelet: what an earlier one had counted is kept in a file.
# A kubelet that does not answer has not counted 0: then this fails and prints nothing.
kubelet_errors() {
  local metrics earlier=0
  metrics=$("$CLUSTER" kubelet-metrics) || return
  [ ! -f "$WORK/errors-before-restart" ] || earlier=$(cat "$WORK/errors-before-restart")
  awk -v n="$earlier" -v label="$IS_ERROR" '/^dra_operations_duration_seconds_count\{/ && index($0, label) { n += $NF } END { print n + 0 }' <<<"$metrics"
}

kubelet_stop() {
  kubelet_errors >"$WORK/errors.new"
  mv "$WORK/errors.new" "$WORK/errors-before-restart"
  "$CLUSTER" stop kubelet
}
kubelet_start() {
  "$CLUSTER" start kubelet
  eventually 60 "the kubelet answers" kubelet_answers
}
kubelet_answers() { "$CLUSTER" kubelet-metrics >/dev/null 2>&1; }

# expect_errors N: this test makes the kubelet count N failed operations. expect_restarts N: ... the driver's container restart N times.
expect_errors() { echo "$1" >"$WORK/expect-errors"; }
expect_restarts() { echo "$1" >"$WORK/expect-restarts"; }

# As with nodes_inside: that they cannot be read must not pass for "there is none".
events_of() {
  local events
  events=$(kn get events --field-selector "involvedObject.name=$1" -o json) || {
    echo "(the events of $1 cannot be read)"
    return 1
  }
  jq -r --arg r "$2" '.items[] | select(.reason == $r) | .message' <<<"$events"
}
no_event() { same "events $2 of $1" "" "$(events_of "$1" "$2")"; }
