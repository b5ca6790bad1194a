# shellcheck shell=bash
# A node gets another name: kubelet and tundra come back under it, with the same GPUs and the same disk, and the old Node object is
# deleted. The old pool's slices go, the new one's come. What the ledger holds for pods of the old name is nobody else's before it was given
# up; a claim that was allocated in the old pool is refused by name.
SECOND=(timeout --kill-after=5 150 "$CLUSTER" --node 2)
SECOND_GPUS=$STATE/node-2/gpus
SECOND_STATE=$STATE/node-2

slices_of() { kc get resourceslices --field-selector "spec.driver=gpu.nvidia.com,spec.nodeName=$1" -o json; }
publishes() { [ "$(slices_of "$1" | jq '[.items[].spec.devices[]?] | length')" = "$GPU_COUNT" ]; }
driver_on() { kd get pods -l tundra-component=kubelet-plugin --field-selector "spec.nodeName=$1" -o jsonpath='{.items[0].metadata.name}'; }
claims_on() { exec_in tundra "$(driver_on "$1")" gpus tundra status -o json | jq -r '[.. | objects | select((.claims | type) == "array")][0].claims[] | "\(.state) \(.name)"'; }
on() { printf '.spec.nodeSelector = {"kubernetes.io/hostname": "%s"}' "$1"; }
# sees_its_gpus, of that node's slices and files.
sees_on() { # sees_on NODE POD
  # shellcheck disable=SC2034 # for sees_its_gpus
  local node=$1 GPUS=$SECOND_GPUS
  slices() { slices_of "$node"; }
  sees_its_gpus "$2"
}

trap '"${SECOND[@]}" down >&2 || true; kc delete node node-2 --ignore-not-found >&2 || true' EXIT
"${SECOND[@]}" up >&2
"${SECOND[@]}" tundra >&2
eventually 30 "the second node publishes its GPUs" publishes node-2
claim_template one "$(gpu_request 1)"
pod a template=one "$(on node-2)"
running a 60
sees_on node-2 a
old=$(claim_of a)
old_json=$(claim_json "$old")
uuid=$(slices_of node-2 | jq -r --arg d "$(allocated "$old")" '.items[].spec.devices[] | select(.name == $d) | .attributes.uuid.string')
container=$(container_id a | sed 's,.*//,,')

"${SECOND[@]}" stop kubelet >&2
kc delete node node-2 --wait >&2
old_pool_gone() { [ "$(slices_of node-2 | jq '.items | length')" = 0 ]; }
eventually 30 "the slices of the old pool are gone" old_pool_gone
"${SECOND[@]}" rename node-two >&2
kc label node node-two nvidia.com/gpu.present=true >&2
eventually 60 "the GPUs are published in the new pool" publishes node-two
same "pools" "node-1 node-two" "$(kc get resourceslices -o json | jq -r '[.items[].spec.pool.name] | unique | join(" ")')"
same "what the ledger holds" "prepared $old" "$(claims_on node-two)"

# Its object is not gone, its pod has not ended as far as anybody knows: the GPU is the old claim's.
claim_template same "$(gpu_request 1 "device.attributes[\"gpu.nvidia.com\"].uuid == \"$uuid\"")"
pod next template=same "$(on node-two)"
next_claim() { claim_of next 2>/dev/null; }
told() { [ -n "$(next_claim)" ] && events_of "$(next_claim)" Waiting | grep -qF "is still prepared for claim $NS/$old"; }
eventually 40 "the driver says for which claim the GPU is still prepared" told
# In the order of the driver's own log: given up, then prepared.
running_soon 150 next
sees_on node-two next
order=$(kd logs "$(driver_on node-two)" -c gpus | grep -F 'claim operation done' | grep -oE "operation=(un)?prepare claim=($old|$(next_claim)) ")
same "order of what was done" "operation=unprepare claim=$old operation=prepare claim=$(next_claim)" "$(xargs <<<"$order")"
! "${SECOND[@]}" ctr tasks ls 2>/dev/null | awk -v id="$container" '$1 == id && $3 == "RUNNING" { found = 1 } END { exit !found }' ||
  fail "the container of the old name's pod still runs, with the GPU of another"

# Allocated in the old pool, for a pod that comes to the node under its new name.
claim stale "$(gpu_request 1)"
kn patch resourceclaim stale --subresource=status --type=merge -p "$(jq -c '{status: {allocation: (.status.allocation | del(.nodeSelector))}}' <<<"$old_json")" >&2
pod late claim=stale "$(on node-two)"
refused() { events_of late FailedPrepareDynamicResources | grep -qF 'is in pool node-2, this node serves pool node-two'; }
eventually 30 "the driver says that the claim is of another pool" refused

delete_pods late next
kn delete pod a --force --grace-period=0 --ignore-not-found >&2
released() { [ -z "$(claims_on node-two)" ]; }
eventually 20 "the node has given up the last claim" released
[ ! -e "$SECOND_STATE/kubelet/dra_manager_state" ] || same "claims in the kubelet's cache" 0 \
  "$(jq -r '.Data | fromjson | .ClaimInfoStateList // [] | length' "$SECOND_STATE/kubelet/dra_manager_state")"
trap - EXIT
"${SECOND[@]}" down >&2
alone() { [ "$(kc get resourceslices -o json | jq -r '[.items[].spec.nodeName] | unique | join(" ")')" = node-1 ]; }
eventually 30 "the slices of the second node have gone with it" alone
