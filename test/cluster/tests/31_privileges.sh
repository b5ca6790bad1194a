# shellcheck shell=bash
# What counts inside the privileged container: each process of it has the capabilities of its row and no others, no_new_privs and a seccomp
# filter; the one that speaks with the kubelet and the API server has none at all. That holds for workers that were started anew, too. And
# commands of the image run as anybody.

# Bits by number, from linux/capability.h: permitted and bounding, effective. Not taken from the product's table, on purpose.
declare -A permitted=([tundra]=0 [nvml]=0x8000001 [host]=0x80004 [disk]=0x1000000)
permitted[spawner]=$((0x8000001 | 0x80004 | 0x1000000 | 0x100)) # what it hands on, and SETPCAP
declare -A effective=([tundra]=0 [spawner]=0 [nvml]=0x8000001 [host]=0x80004 [disk]=0x1000000)
# What this machine gives root at most: a virtual machine or a container has not all.
all=0x$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)

status_of() { awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"; }

# Processes of the driver's container, by its PID namespace: "pid name" lines.
processes() {
  local main space p
  main=$(driver_pid)
  [ -n "$main" ] || fail "no process of the driver found"
  space=$(readlink "/proc/$main/ns/pid")
  for p in /proc/[0-9]*; do
    [ "$(readlink "$p/ns/pid" 2>/dev/null)" != "$space" ] || echo "${p#/proc/} $(cat "$p/comm")"
  done
}

check() { # check PID NAME
  local pid=$1 name=$2 set want
  [ -n "${permitted[$name]:-}" ] || fail "a process $name is in no table"
  for set in CapPrm CapBnd CapEff CapInh CapAmb; do
    case $set in
      CapPrm | CapBnd) want=$((permitted[$name] & all)) ;;
      CapEff) want=$((effective[$name] & all)) ;;
      *) want=0 ;;
    esac
    same "$set of $name" "$(printf '%x' "$want")" "$(printf '%x' "0x$(status_of "$pid" "$set")")"
  done
  same "no_new_privs of $name" 1 "$(status_of "$pid" NoNewPrivs)"
  same "seccomp of $name" 2 "$(status_of "$pid" Seccomp)"
}

check_all() { # check_all TEXT: leaves the pids in `pid_of`
  local list pid name
  declare -gA pid_of=()
  list=$(processes)
  while read -r pid name; do
    check "$pid" "$name"
    pid_of[$name]=$pid
  done <<<"$list"
  for name in tundra spawner nvml disk; do [ -n "${pid_of[$name]:-}" ] || fail "$1: no process $name among: $list"; done
  say "$1: ${!pid_of[*]}"
}

claim_template one "$(gpu_request 1)"
pod p template=one
running p
check_all "as started"

# Killed, they come out of the spawner again: with the next question, which a pod is.
before=("${pid_of[disk]}" "${pid_of[nvml]}" "${pid_of[tundra]}")
kill -KILL "${pid_of[disk]}" "${pid_of[nvml]}"
pod q template=one
running q 60
sees_its_gpus q
# NVML is asked when something in the driver's folders changes.
on_node touch /dev/nvidia-priv-test
comes_back() { [[ $(processes) == *" nvml"* ]]; }
eventually 30 "the nvml worker is back" comes_back
on_node rm /dev/nvidia-priv-test
check_all "after kill -9 of the workers"
same "a killed worker" "" "$(for p in "${before[@]:0:2}"; do [ "$p" != "${pid_of[disk]}" ] && [ "$p" != "${pid_of[nvml]}" ] || echo "$p is still there"; done)"
same "the driver's process" "${before[2]}" "${pid_of[tundra]}"

# Without its spawner the driver ends, says why, and comes back; the claims are still its own.
restarts=$(driver_restarts)
expect_restarts 1
kill -KILL "${pid_of[spawner]}"
restarted() { [ "$(driver_restarts)" -gt "$restarts" ] && driver_publishes; }
eventually 60 "the container is started anew" restarted
log_says "$(driver_pod)" "the process that starts workers ended" --previous || fail "the log does not say why"
last=$(kd get pod "$(driver_pod)" -o jsonpath='{.status.containerStatuses[0].lastState.terminated.exitCode}')
same "exit code without the spawner" 1 "$last"
check_all "after the restart"
same "claims after the restart" 2 "$(driver_status | jq '[.. | objects | select(.uid? and .state? == "prepared")] | length')"

# Of what the chart runs, the node's container alone is privileged; whatever else there is, is nobody and has nothing.
others=$(kd get pods -o json | jq -r '.items[].spec | .initContainers[]?, .containers[] | select(.name != "gpus")
  | select(.securityContext.privileged == true or .securityContext.runAsNonRoot != true) | .name')
same "other privileged containers" "" "$others"
same "the node's root" true "$(kd get pod "$(driver_pod)" -o jsonpath='{.spec.containers[?(@.name=="gpus")].securityContext.readOnlyRootFilesystem}')"

# Commands as anybody, without a capability: an answer or a clear refusal, and no crash.
image=$(kd get pod "$(driver_pod)" -o jsonpath='{.spec.containers[0].image}')
commands=("--version:0" "status:1" "claims --help:0" "claims:1" "export --help:0" "unprepare --help:0" "doctor --help:0" "doctor:1" "support-bundle --help:0" "node --help:0")
printf '%s\n' "${commands[@]}" | jq -nR --arg image "$image" '[inputs] as $commands | {apiVersion: "v1", kind: "Pod", metadata: {name: "nobody"},
  spec: {restartPolicy: "Never", automountServiceAccountToken: false,
    containers: [$commands | to_entries[] | {name: "c\(.key)", image: $image, imagePullPolicy: "Never",
      command: (["tundra"] + (.value | sub(":[0-9]+$"; "") | split(" "))),
      securityContext: {runAsUser: 65532, runAsGroup: 65532, runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,
        capabilities: {drop: ["ALL"]}, seccompProfile: {type: "RuntimeDefault"}}}]}}' | kn create -f - >&2
ended() { kn get pod nobody -o json | jq -e '[.status.containerStatuses[]? | select(.state.terminated)] | length == '"${#commands[@]}" >/dev/null; }
eventually 90 "the commands end" ended
for ((i = 0; i < ${#commands[@]}; i++)); do
  code=$(kn get pod nobody -o json | jq -r --arg n "c$i" '.status.containerStatuses[] | select(.name == $n) | .state.terminated.exitCode')
  text=$(kn logs nobody -c "c$i")
  say "tundra ${commands[i]%:*} -> $code: $(sed -n 1p <<<"$text")"
  same "exit code of tundra ${commands[i]%:*}" "${commands[i]##*:}" "$code"
  [ -n "$text" ] || fail "tundra ${commands[i]%:*} says nothing"
done
delete_pods p q nobody
