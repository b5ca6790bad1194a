# shellcheck shell=bash
# Two nodes, each with its own network and GPUs: both publish their own pool, pods land on both. The second one loses its power: the first
# does not notice, prepares go on there, and the claims of the pods that are deleted by force are released. It comes back, gives up what
# nobody holds any more, and serves.
SECOND=(timeout --kill-after=5 150 "$CLUSTER" --node 2)
GPUS_OF=([1]="$GPUS" [2]="$STATE/node-2/gpus")

slices_of() { kc get resourceslices --field-selector "spec.driver=gpu.nvidia.com,spec.nodeName=node-$1" -o json; }
devices_of() { slices_of "$1" | jq '[.items[].spec.devices[]?] | length'; }
# "NAME VERSION" of the slices of a node: changes with every write.
versions_of() { slices_of "$1" | jq -r '.items[].metadata | "\(.name) \(.uid) \(.resourceVersion)"'; }
uuids_of() { slices_of "$1" | jq -r '.items[].spec.devices[].attributes.uuid.string' | sort; }
publishes() { [ "$(devices_of "$1")" = "$GPU_COUNT" ]; }
pod_on() { # pod_on INDEX NAME
  pod "$2" template=one ".spec.nodeSelector = {\"kubernetes.io/hostname\": \"node-$1\"}"
}
# sees_its_gpus, of that node's slices and that node's files.
sees_on() { # sees_on INDEX POD
  local index=$1 GPUS=${GPUS_OF[$1]}
  slices() { slices_of "$index"; }
  sees_its_gpus "$2"
}
driver_on() { kd get pods -l tundra-component=kubelet-plugin --field-selector "spec.nodeName=node-$1" -o jsonpath='{.items[0].metadata.name}'; }
errors_on_second() {
  "${SECOND[@]}" kubelet-metrics | awk -v label="$IS_ERROR" '/^dra_operations_duration_seconds_count\{/ && index($0, label) { n += $NF } END { print n + 0 }'
}
# As `leftovers` of run, on the second node.
left_on_second() {
  "${SECOND[@]}" exec find /run/cdi -name 'k8s.gpu.nvidia.com-claim_*' -printf 'CDI spec %f\n'
  jq -r '.Data | fromjson | .ClaimInfoStateList // [] | .[] | "kubelet still caches claim \(.ClaimUID // .ClaimName)"' "$STATE/node-2/kubelet/dra_manager_state"
  exec_in tundra "$(driver_on 2)" gpus tundra status -o json | jq -r '[.. | objects | select((.claims | type) == "array")]
    | if length == 0 then error("no claims") else .[] end | .claims[] | "\(.state) claim \(.name) \(.uid)"'
}
clean_on_second() {
  local left
  left=$(left_on_second 2>&1) && [ -z "$left" ]
}
# The lost ones only: another pod runs there by then.
lost_are_given_up() {
  local left
  left=$(left_on_second 2>&1) && ! grep -qE "$lost_uids" <<<"$left"
}

trap '"${SECOND[@]}" down >&2 || true' EXIT
before=$(versions_of 1)
"${SECOND[@]}" up >&2
"${SECOND[@]}" tundra >&2
eventually 30 "the second node publishes its GPUs" publishes 2
same "pools" "node-1 node-2" "$(kc get resourceslices -o json | jq -r '[.items[].spec.pool.name] | unique | join(" ")')"
same "GPUs that both nodes have" "" "$(comm -12 <(uuids_of 1) <(uuids_of 2))"
claim_template one "$(gpu_request 1)"
for p in a b; do
  pod_on 1 "one-$p"
  pod_on 2 "two-$p"
done
for p in a b; do
  running "one-$p" 60
  running "two-$p" 60
  sees_on 1 "one-$p"
  sees_on 2 "two-$p"
done
same "slices of the first node" "$before" "$(versions_of 1)"
same "failed calls on the second node" 0 "$(errors_on_second)"

claims="$(claim_of two-a) $(claim_of two-b)"
lost_uids=$(for c in $claims; do kn get resourceclaim "$c" -o jsonpath='{.metadata.uid} '; done | xargs | tr ' ' '|')
mapfile -t lost < <(for c in $claims; do slices_of 2 | jq -r --arg d "$(allocated "$c")" '.items[].spec.devices[] | select(.name == $d) | .attributes.uuid.string'; done)
same "GPUs of the pods on the second node" 2 "${#lost[@]}"
id=$(container_id one-a)
driver_container_on_second() { kd get pod "$(driver_on 2)" -o jsonpath='{.status.containerStatuses[0].containerID}'; }
driver_before=$(driver_container_on_second)
"${SECOND[@]}" power-off >&2
for p in c d; do pod_on 1 "one-$p"; done
for p in c d; do
  running "one-$p" 20
  sees_on 1 "one-$p"
done
kn delete pod two-a two-b --force --grace-period=0 >&2
# shellcheck disable=SC2086 # names
released() { [ -z "$(kn get resourceclaims $claims --ignore-not-found -o name)" ]; }
eventually 30 "the claims of the lost pods are released" released
same "container on the first node" "$id" "$(container_id one-a)"
sees_on 1 one-a
same "slices of the first node after the loss" "$before" "$(versions_of 1)"

"${SECOND[@]}" up >&2
on_second_again() {
  [ "$(driver_container_on_second)" != "$driver_before" ] && exec_in tundra "$(driver_on 2)" gpus tundra status -o json 2>/dev/null |
    jq -e '[.. | objects | select(has("registered"))] | length == 1 and .[0].registered' >/dev/null
}
eventually 60 "the driver of the second node runs again" on_second_again
# The kubelet has found the socket of before the loss and tried it: it registers the driver, unregisters it a second later, and registers
# it again after one more second. What it had called in between it ends by itself.
sleep 3
# The GPUs of the lost pods are held until the kubelet, which looks once a minute, has given up their claims: another one is asked for. After
# a real boot the driver releases them within seconds (unit.k8s.gc); here the machine, and with it the boot id, is the same.
claim_template other "$(gpu_request 1 "!(device.attributes[\"gpu.nvidia.com\"].uuid in [\"${lost[0]}\", \"${lost[1]}\"])")"
pod two-again template=other '.spec.nodeSelector = {"kubernetes.io/hostname": "node-2"}'
running two-again 60
sees_on 2 two-again
say "left on the second node: $(left_on_second | paste -sd';')"
eventually 90 "the second node has given up what nobody holds" lost_are_given_up
delete_pods two-again
eventually 20 "the second node has given up the last claim" clean_on_second
same "failed calls on the second node since it is back" 0 "$(errors_on_second)"
delete_pods one-a one-b one-c one-d
trap - EXIT
"${SECOND[@]}" down >&2
alone() { [ "$(kc get resourceslices -o json | jq -r '[.items[].spec.nodeName] | unique | join(" ")')" = node-1 ]; }
eventually 30 "the slices of the second node have gone with it" alone
same "slices of the first node in the end" "$before" "$(versions_of 1)"
