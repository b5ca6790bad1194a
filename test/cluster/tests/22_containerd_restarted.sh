# shellcheck shell=bash
# containerd restarts, as in an upgrade of the node: running containers keep their GPUs, new ones get theirs, and one that restarts gets its
# own again, by the CDI spec that the new containerd has to find.
claim_template one "$(gpu_request 1)"
pod before template=one '.spec.restartPolicy = "Always"'
running before
id=$(container_id before)
"$CLUSTER" restart containerd
pod after template=one
running after 60
sees_its_gpus after
same "container that ran before" "$id" "$(container_id before)"
sees_its_gpus before
may_open before main "/dev/nvidia$(nodes_inside before)"
# The shell that asks for it may be taken down with the container before it can answer.
minor=$(nodes_inside before)
inside before main sh -c 'kill -TERM 1' || true
restarted() { [ "$(container_id before)" != "$id" ] && [ "$(kn get pod before -o jsonpath='{.status.containerStatuses[0].ready}')" = true ]; }
eventually 60 "the container has restarted" restarted
same "GPU after the container's restart" "$minor" "$(nodes_inside before)"
delete_pods before after
