# shellcheck shell=bash
# A prepare waits in the running instance, for a GPU that another claim holds, when a new instance takes over: the call is answered all the
# same, through the old instance, which stays until then.
restarts=$(driver_restarts)
claim first "$(gpu_request 1)"
pod holder claim=first
running holder
minor=$(nodes_inside holder)
# Allocated as no scheduler would: to the GPU that is taken.
claim second "$(gpu_request 1)"
allocation=$(claim_json first | jq -c '{status: {allocation: .status.allocation}}')
kn patch resourceclaim second --subresource=status --type=merge -p "$allocation" >&2
pod next claim=second
waits() { [ -n "$(events_of second Waiting)" ]; }
eventually 30 "the driver says what the prepare waits for" waits
old=$(driver_pod)
kd rollout restart "daemonset/$DAEMONSET" >&2
relays() { log_says "$old" "calls that wait are asked of the instance that took over"; }
eventually 30 "the old instance asks the new one" relays
same "phase of the pod that waits" Pending "$(phase next)"
delete_pods holder
running next
sees_its_gpus next
same "GPU of the next pod" "$minor" "$(nodes_inside next)"
no_event next FailedPrepareDynamicResources
kd rollout status "daemonset/$DAEMONSET" --timeout=90s >&2
gone() { ! kd get pod "$old" >/dev/null 2>&1; }
eventually 90 "the old instance is gone" gone
# It is another pod now, which counts from zero.
expect_restarts $((-restarts))
delete_pods next
