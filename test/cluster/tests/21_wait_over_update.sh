# shellcheck shell=bash
# A prepare waits in the running instance, for a GPU whose container takes its time to end, when a new instance takes over: the call is
# answered all the same, through the old instance, which stays until then.
restarts=$(driver_restarts)
claim_template one "$(gpu_request 1)"
claim_template rest "$(gpu_request $((GPU_COUNT - 1)))"
pod rest template=rest
running rest
pod deaf template=one '.spec.terminationGracePeriodSeconds = 25
  | .spec.containers[0].command = ["/bin/sh", "-c", "trap \"\" TERM; while :; do sleep 1; done"]'
running deaf
minor=$(nodes_inside deaf)
kn delete pod deaf --force --grace-period=0 >&2
pod next template=one
waits() { [ -n "$(events_of "$(claim_of next)" Waiting)" ]; }
eventually 60 "the driver says what the prepare waits for" waits
old=$(driver_pod)
kd rollout restart "daemonset/$DAEMONSET" >&2
relays() { kd logs "$old" -c gpus 2>/dev/null | grep -q "calls that wait are asked of the instance that took over"; }
eventually 30 "the old instance asks the new one" relays
same "phase of the pod that waits" Pending "$(phase next)"
running next 60
sees_its_gpus next
same "GPU of the next pod" "$minor" "$(nodes_inside next)"
no_event next FailedPrepareDynamicResources
kd rollout status "daemonset/$DAEMONSET" --timeout=90s >&2
gone() { ! kd get pod "$old" >/dev/null 2>&1; }
eventually 90 "the old instance is gone" gone
# It is another pod now, which counts from zero.
expect_restarts $((-restarts))
delete_pods next rest
