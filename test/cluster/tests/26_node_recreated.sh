# shellcheck shell=bash
# The Node object is deleted and made anew, as by an autoscaler or an administrator: the slices, which the old one took along, come back as
# the new one's, and pods get GPUs.
restarts=$(driver_restarts)
kubelet_stop
kc delete node "$NODE" --wait >&2
kubelet_start
there() { kc wait --for=condition=Ready "node/$NODE" --timeout=1s >/dev/null 2>&1; }
eventually 60 "the node is ready again" there
kc label node "$NODE" nvidia.com/gpu.present=true --overwrite >&2
node_uid=$(kc get node "$NODE" -o jsonpath='{.metadata.uid}')
owned() {
  [ "$(slices | jq -r '[.items[].metadata.ownerReferences[0].uid] | unique | join(" ")')" = "$node_uid" ] && [ "$(slice_devices)" = "$GPU_COUNT" ]
}
eventually 120 "the slices are the new node's" owned
eventually 120 "the driver runs" driver_publishes
claim_template one "$(gpu_request 1)"
pod a template=one
running a 60
sees_its_gpus a
# Its pod may have gone with the node.
expect_restarts $(($(driver_restarts) - restarts))
delete_pods a
