# shellcheck shell=bash
# A new instance starts beside the running one and takes over: pods keep their GPUs, pods start all the while, no slice is written.
restarts=$(driver_restarts)
claim_template one "$(gpu_request 1)"
pod before template=one
running before
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' >"$WORK/slices"
old=$(driver_pod)
kd rollout restart "daemonset/$DAEMONSET" >&2
for i in 1 2 3; do
  pod "during$i" template=one
  running "during$i"
  sees_its_gpus "during$i"
done
kd rollout status "daemonset/$DAEMONSET" --timeout=90s >&2
gone() { ! kd get pod "$old" >/dev/null 2>&1; }
eventually 90 "the old instance is gone" gone
pod after template=one
running after
for p in before during1 during2 during3 after; do sees_its_gpus "$p"; done
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' | diff -u "$WORK/slices" - >&2 || fail "a slice was written"
# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-restarts))
delete_pods before during1 during2 during3 after
