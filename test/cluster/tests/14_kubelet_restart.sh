# shellcheck shell=bash
# The kubelet restarts, as in an upgrade: containers go on, slices (which it deletes at its start) come back, a container that restarts still
# gets its GPU, and a second pod on the same claim gets the same device.
claim c "$(gpu_request 1)"
pod a claim=c '.spec.restartPolicy = "Always"'
running a
id=$(container_id a)
minor=$(nodes_inside a)
slice_uids() { kc get resourceslices -o jsonpath='{.items[*].metadata.uid}'; }
before=$(slice_uids)
kubelet_stop
kubelet_start
# It deletes the slices a moment after its start: others must be there, not the same still.
back() { [ "$(slice_devices)" = "$GPU_COUNT" ] && [ "$(slice_uids)" != "$before" ]; }
eventually 60 "the slices are back" back
same "container after the restart" "$id" "$(container_id a)"
sees_its_gpus a main c

# The shell that asks for it may be taken down with the container before it can answer.
inside a main sh -c 'kill -TERM 1' || true
restarted() { [ "$(container_id a)" != "$id" ] && [ "$(kn get pod a -o jsonpath='{.status.containerStatuses[0].ready}')" = true ]; }
eventually 60 "the container has restarted" restarted
same "GPU after the container's restart" "$minor" "$(nodes_inside a)"
may_open a main "/dev/nvidia$minor"

pod b claim=c
running b 60
same "GPU of the second pod" "$minor" "$(nodes_inside b)"
no_event b FailedPrepareDynamicResources
delete_pods a b
