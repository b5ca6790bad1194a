# shellcheck shell=bash
# The API server dies while pods start, and is away for a minute: whatever was under way then, every pod runs in the end, each with its own
# GPUs, and the driver itself has failed no call that it did not wait for as long as the kubelet would (45 s - 5 s). One call is sure to
# be under way: it waits for a GPU, which is given up when the API server is gone, and then has to read its claim anew.
claim_template one "$(gpu_request 1)"
claim first "$(gpu_request 1)"
pod holder claim=first '.spec.containers[0].command = ["/bin/sleep", "12"]'
running holder
# Allocated as no scheduler would: to the GPU that is taken.
claim second "$(gpu_request 1)"
kn patch resourceclaim second --subresource=status --type=merge -p "$(claim_json first | jq -c '{status: {allocation: .status.allocation}}')" >&2
pod next claim=second
waits() { [ -n "$(events_of second Waiting)" ]; }
eventually 10 "the driver says what the prepare waits for" waits
kubelets=$(kubelet_errors)
mapfile -t pods < <(seq -f 'p%g' $((GPU_COUNT - 2)))
for p in "${pods[@]}"; do pod "$p" template=one; done
same "phase of the pod that has the GPU" Running "$(phase holder)"
trap '"$CLUSTER" start apiserver || true' EXIT
"$CLUSTER" kill apiserver
sleep 60
"$CLUSTER" start apiserver
trap - EXIT
back() { kc get --raw /readyz >/dev/null 2>&1; }
eventually 60 "the API server is back" back
# The driver's watch is there again as well: what somebody deletes is published anew.
slice=$(slices | jq -r '.items[0].metadata.uid')
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com >&2
published_anew() { [ "$(slice_devices)" = "$GPU_COUNT" ] && [ "$(slices | jq -r '.items[0].metadata.uid')" != "$slice" ]; }
eventually 30 "the slice that was deleted after the return is published anew" published_anew
# The watches of the kubelet, the scheduler and the controllers wait up to a minute by now; who starts asks at once.
kubelet_stop
kubelet_start
for name in scheduler kcm; do
  "$CLUSTER" stop "$name"
  "$CLUSTER" start "$name"
done
running_soon 90 next "${pods[@]}"
for p in next "${pods[@]}"; do sees_its_gpus "$p"; done
failed=$(driver_log --since=5m | grep -F "claim operation failed" || true)
waited=$(grep 'total_ms=39[0-9]\{3\}\..*timed out waiting: API server' <<<"$failed" || true)
same "prepares that failed before their time" "" "$(grep -vxF "$waited" <<<"$failed" || true)"
grep -q 'claim=second ' <<<"$waited" || fail "the prepare that was under way did not wait for the API server: '$(driver_log --since=5m | grep 'claim=second ' || true)'"
# The kubelet reads claims before it calls, and fails by itself without an API server.
expect_errors $(($(kubelet_errors) - kubelets))
delete_pods holder next "${pods[@]}"
