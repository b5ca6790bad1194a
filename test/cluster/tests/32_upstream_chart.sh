# shellcheck shell=bash
# Our image under NVIDIA's chart, with only the image changed: binary by its name, environment, probes, paths, the init container; the same
# attributes, metrics at their place, a rolling restart; SIGUSR2, which upstream answers with a dump; maskNvidiaDriverParams. A pod runs on
# through all of it, from our chart to theirs and back.
. "$TOP/test/cluster/upstream/lib.sh"
claim_template one "$(gpu_request 1)"
pod stays template=one
running stays
id=$(container_id stays)
minor=$(nodes_inside stays)

mark=$(audit_mark)
others_install chart.yaml dra-driver-nvidia-gpu dra-driver-nvidia-gpu-kubelet-plugin
others_ready
user=system:serviceaccount:dra-driver-nvidia-gpu:dra-driver-nvidia-gpu-service-account-kubeletplugin
same "init container" 0 "$(ko get pod "$(others_pod)" -o jsonpath='{.status.initContainerStatuses[0].state.terminated.exitCode}')"
probes_pass
publishes_what_upstream_does
same "container of the pod that was there" "$id" "$(container_id stays)"
others_status | jq -e --arg c "$(claim_of stays)" '[.. | objects | select(.name? == $c and .state? == "prepared")] | length == 1' >/dev/null ||
  fail "the claim prepared before is not in tundra status"
pod new template=one
running new
sees_its_gpus new
[ "$(nodes_inside new)" != "$minor" ] || fail "the GPU of the running pod was given away"
has_upstreams_metrics

# Signals reach the plugin, which is process 1, and this one does not end it.
before=$(others_container)
others_exec bash -c 'kill -USR2 1'
# shellcheck disable=SC2016 # for the bash in the container
dumped() { [ "$(others_exec bash -c 'echo "$(</run/tundra/state.json)"' 2>/dev/null | jq '[.. | objects | select(.state? == "prepared")] | length')" = 2 ]; }
eventually 10 "the state is written, with both claims" dumped
same "container after SIGUSR2" "$before" "$(others_container)"

# A new value, so the pods roll: the old one goes first here, and its end is orderly. (A pod that comes in the gap waits for the kubelet's
# next try, about a minute, as it does with upstream's own.)
# shellcheck disable=SC2016 # for the bash in the container
params() { others_exec bash -c 'echo "$(</driver-root/proc/driver/nvidia/params)"' | grep ModifyDeviceFiles; }
same "parameters of the driver" "ModifyDeviceFiles: 1" "$(params)"
ko set env "daemonset/$OTHERS_DS" -c gpus MASK_NVIDIA_DRIVER_PARAMS=true >&2
others_ready
pod after template=one
running after
same "parameters of the driver, masked" "ModifyDeviceFiles: 0" "$(params)"
same "parameters of the driver on the node" "ModifyDeviceFiles: 1" "$(on_node grep ModifyDeviceFiles "$GPUS/proc/driver/nvidia/params")"
probes_pass
for p in stays new after; do sees_its_gpus "$p"; done
delete_pods new after

same "refused by the API server" "" "$(refused_since "$mark" "$user")"
others_remove
same "container of the pod at the end" "$id" "$(container_id stays)"
same "its GPU at the end" "$minor" "$(nodes_inside stays)"
pod next template=one
running next
[ "$(nodes_inside next)" != "$minor" ] || fail "the GPU of the running pod was given away"
delete_pods stays next
