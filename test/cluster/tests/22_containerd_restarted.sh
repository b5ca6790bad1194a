# shellcheck shell=bash
# containerd restarts, as in an upgrade of the node: running containers keep their GPUs, new ones get theirs.
claim_template one "$(gpu_request 1)"
pod before template=one
running before
id=$(container_id before)
"$CLUSTER" restart containerd
pod after template=one
running after 60
sees_its_gpus after
same "container that ran before" "$id" "$(container_id before)"
sees_its_gpus before
may_open before main "/dev/nvidia$(nodes_inside before)"
delete_pods before after
