# shellcheck shell=bash
# Our image in the GPU Operator's DaemonSet, with only the image changed. The driver comes later than the plugin: first the init container
# waits for it (the operator's part), then, when the driver is away while the plugin starts again, tundra waits by itself: nothing is
# published that is not there, and no restart is needed when it comes. A pod runs on from our chart to the operator and back.
. "$TOP/test/cluster/upstream/lib.sh"
INSTALLED=/run/nvidia/driver
driver_mounted() { on_node mountpoint -q "$INSTALLED"; }
mount_driver() { on_node sh -c "mkdir -p $INSTALLED && mount --bind $GPUS $INSTALLED" || fail "cannot mount the driver"; }
# What others_end calls as well.
mend_test() {
  while driver_mounted; do on_node umount -l "$INSTALLED"; done
  on_node rm -rf /run/nvidia
  kc label node "$NODE" nvidia.com/gpu.deploy.dra-driver-
}
claim_template one "$(gpu_request 1)"
pod stays template=one
running stays
id=$(container_id stays)
minor=$(nodes_inside stays)
mend_test >&2

mark=$(audit_mark)
kc label node "$NODE" nvidia.com/gpu.deploy.dra-driver=true >&2
others_install operator.yaml gpu-operator nvidia-dra-driver-kubelet-plugin
init_waits() { ko get pods -o json | jq -e '.items[0].status.initContainerStatuses[0].state.running' >/dev/null; }
eventually 30 "the init container waits for the driver" init_waits
mount_driver
others_ready
probes_pass
publishes_what_upstream_does
same "container of the pod that was there" "$id" "$(container_id stays)"
pod new template=one
running new
sees_its_gpus new
[ "$(nodes_inside new)" != "$minor" ] || fail "the GPU of the running pod was given away"
same "the new pod's nodes come from" "$INSTALLED/dev/nvidia$(nodes_inside new)" \
  "$(on_node cat "/run/cdi/k8s.gpu.nvidia.com-claim_$(claim_json "$(claim_of new)" | jq -r .metadata.uid).yaml" | jq -r '.devices[0].containerEdits.deviceNodes[] | select(.path | test("nvidia[0-9]+$")).hostPath')"
has_upstreams_metrics
# Gates that this version lacks are told, one by one, and stay off.
ko logs "$(others_pod)" -c gpus >"$WORK/said"
for gate in DynamicMIG MPSSupport NVMLDeviceHealthCheck; do
  grep -q "WARN feature gate is not supported yet and stays off gate=$gate " "$WORK/said" || fail "no word of $gate"
done

say "== the driver goes, and the plugin starts without it"
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' >"$WORK/slices"
on_node umount -l "$INSTALLED" || fail "cannot unmount the driver"
first=$(others_container)
others_exec bash -c 'kill -TERM 1' || true
again() { [ "$(others_container)" != "$first" ] && others_status >/dev/null 2>&1; }
eventually 40 "the plugin runs again" again
second=$(others_container)
waits() { others_status | jq -e '.inventory.state != "ready"' >/dev/null; }
eventually 15 "it waits for the driver" waits
sleep 2
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' | diff -u "$WORK/slices" - >&2 || fail "slices were written while the driver was away"
mount_driver
eventually 60 "the driver is found" others_publish
pod late template=one
running late
sees_its_gpus late
same "container that waited" "$second" "$(others_container)"
delete_pods new late

same "refused by the API server" "" "$(refused_since "$mark" system:serviceaccount:gpu-operator:nvidia-dra-driver-kubeletplugin)"
others_remove
mend_test >&2
same "container of the pod at the end" "$id" "$(container_id stays)"
same "its GPU at the end" "$minor" "$(nodes_inside stays)"
delete_pods stays
