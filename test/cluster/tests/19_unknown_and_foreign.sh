# shellcheck shell=bash
# What a driver sees when things go wrong around it: claims whose pods are deleted before, while and after they are prepared, and one that
# cannot be prepared at all: with its pod the kubelet asks to undo what was never done.
claim_template one "$(gpu_request 1)"
for round in 1 2 3; do
  for i in $(seq "$GPU_COUNT"); do pod "r$round-$i" template=one; done
  # Without waiting for them to run: some are deleted before, some while, some after their prepare.
  sleep 0.$((round * 2))
  kn delete pods --all --wait --timeout=60s >&2
done

errors=$(kubelet_errors)
claim_template wrong "$(gpu_request 1 | jq -c '.config = [{opaque: {driver: "gpu.nvidia.com",
  parameters: {apiVersion: "resource.nvidia.com/v1beta1", kind: "NoSuchKind"}}}]')"
pod mistaken template=wrong
said() { events_of mistaken FailedPrepareDynamicResources | grep -qF NoSuchKind; }
eventually 20 "the pod says what is wrong with its claim" said
# The prepare, or its repetition too on a slow machine; the unprepare adds none.
failed=$(($(kubelet_errors) - errors))
[ "$failed" -ge 1 ] || fail "the kubelet counted no failed prepare"
expect_errors "$failed"
delete_pods mistaken
