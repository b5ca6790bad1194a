# shellcheck shell=bash
# What the chart asks for holds: with a pod on every GPU the driver's processes need less memory than their request, and its root is
# read-only.
claim_template one "$(gpu_request 1)"
pods=()
for ((i = 0; i < GPU_COUNT; i++)); do
  pods+=("p$i")
  pod "p$i" template=one
done
for p in "${pods[@]}"; do running "$p" 60; done
request=$(kd get daemonset "$DAEMONSET" -o jsonpath='{.spec.template.spec.containers[0].resources.requests.memory}')
[[ $request =~ ^[0-9]+Mi$ ]] || fail "the request is not in Mi: '$request'"
main=$(driver_pid)
[ -n "$main" ] || fail "no process of the driver found"
# The container's own processes: it has a PID namespace of its own.
space=$(readlink "/proc/$main/ns/pid")
pids=()
for p in /proc/[0-9]*; do
  [ "$(readlink "$p/ns/pid" 2>/dev/null)" != "$space" ] || pids+=("${p#/proc/}")
done
[ "${#pids[@]}" -ge 3 ] || fail "only ${#pids[@]} processes in the driver's container"
kilobytes=0
for p in "${pids[@]}"; do kilobytes=$((kilobytes + $(awk '$1 == "Pss:" { print $2 }' "/proc/$p/smaps_rollup"))); done
say "${#pids[@]} processes, $kilobytes kB, request $request"
[ "$kilobytes" -lt $((${request%Mi} * 1024)) ] || fail "$kilobytes kB of memory, $request are asked for"
awk '$2 == "/" && $4 ~ /^ro(,|$)/ { ro = 1 } END { exit !ro }' "/proc/$main/mounts" || fail "the container's root can be written"
delete_pods "${pods[@]}"
