# shellcheck shell=bash
# All GPUs are taken; a pod whose container ignores SIGTERM is deleted by force, so the API server's object is gone long before the container.
# The next pod is scheduled to the same GPU at once: it must wait inside its prepare, without a failure, until the old one has let go.
claim_template one "$(gpu_request 1)"
claim_template rest "$(gpu_request $((GPU_COUNT - 1)))"
pod rest template=rest
running rest
pod deaf template=one '.spec.terminationGracePeriodSeconds = 8
  | .spec.containers[0].command = ["/bin/sh", "-c", "trap \"\" TERM; while :; do sleep 1; done"]'
running deaf
minor=$(nodes_inside deaf)
# The container's process on this machine: the only witness once the pod's object is gone.
old=$(pid_of_container "$(container_id deaf | sed 's,.*//,,')")
[ -n "$old" ] || fail "no process of the old container found"
kn delete pod deaf --force --grace-period=0 >&2
pod next template=one
started=0
while [ "$started" -eq 0 ]; do
  [ "$(phase next)" != Running ] || started=1
  if [ "$started" -eq 1 ] && kill -0 "$old" 2>/dev/null; then fail "the new pod runs while the old container still lives"; fi
  [ "$SECONDS" -lt 150 ] || fail "the next pod does not run"
  sleep 0.2
done
running next
sees_its_gpus next
same "GPU of the next pod" "$minor" "$(nodes_inside next)"
no_event next FailedPrepareDynamicResources
delete_pods next rest
