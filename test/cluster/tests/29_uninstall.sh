# shellcheck shell=bash
# The chart is removed while a pod runs. On the API server nothing of it stays, on the node only what that pod needs: its container
# even restarts with its GPU. Installed again, the driver still knows the claim and gives its GPU to nobody else.
FOLDER=/var/lib/kubelet/plugins/gpu.nvidia.com
restarts=$(driver_restarts)
claim_template one "$(gpu_request 1)"
pod stays template=one '.spec.restartPolicy = "Always"'
pod ends template=one
running stays
running ends
id=$(container_id stays)
minor=$(nodes_inside stays)
uid=$(kn get resourceclaim "$(claim_of stays)" -o jsonpath='{.metadata.uid}')
delete_pods ends
# Left away by a failure, the driver would be missing in every test that follows.
trap 'install_chart >&2 || true' EXIT
timeout 150 "$CLUSTER" helm uninstall "$RELEASE" -n tundra --wait --timeout 120s >&2

kinds=$(kc api-resources --verbs=list -o name | paste -sd,)
chart_objects() { kc get "$kinds" -A -l "app.kubernetes.io/instance=$RELEASE" --ignore-not-found -o name; }
api_is_clean() {
  local objects
  objects=$(chart_objects) && [ -z "$objects" ]
}
eventually 90 "nothing of the chart is on the API server" api_is_clean
# The kubelet takes the slices away half a minute after the driver has gone.
no_slices() { [ "$(slice_devices)" = 0 ]; }
eventually 90 "the slices are gone" no_slices
same "sockets on the node" "" "$(on_node find /var/lib/kubelet/plugins_registry "$FOLDER" -type s)"
same "CDI specs on the node" "k8s.gpu.nvidia.com-claim_$uid" "$(on_node find /run/cdi -name 'k8s.gpu.nvidia.com*' -printf '%f\n' | sed 's/\.[a-z]*$//')"
same "files in the plugin's folder" "ledger ledger.lock tundra-cdi-hook" "$(on_node find "$FOLDER" -type f -printf '%f\n' | sort | paste -sd' ')"
on_node grep -qaF "$uid" "$FOLDER/ledger" || fail "the ledger lost the claim of the running pod"

# The pod does not notice, and its container comes back without a driver: the runtime has spec and hook.
same "container after the removal" "$id" "$(container_id stays)"
inside stays main sh -c 'kill -TERM 1' || true
restarted() { [ "$(container_id stays)" != "$id" ] && [ "$(kn get pod stays -o jsonpath='{.status.containerStatuses[0].ready}')" = true ]; }
eventually 60 "the container has restarted without a driver" restarted
same "GPU after that" "$minor" "$(nodes_inside stays)"
may_open stays main "/dev/nvidia$minor"

install_chart >&2
trap - EXIT
back() { [ "$(slice_devices)" = "$GPU_COUNT" ]; }
eventually 60 "the slices are back" back
driver_status | jq -e --arg uid "$uid" '[.. | objects | select(.uid? == $uid and .state? == "prepared") | .devices[]] | length == 1' >/dev/null ||
  fail "the claim prepared before is not in tundra status"
sees_its_gpus stays
pod next template=one
running next
sees_its_gpus next
[ "$(nodes_inside next)" != "$minor" ] || fail "the GPU of the running pod was given away"
# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-restarts))
delete_pods stays next
