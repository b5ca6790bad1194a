# shellcheck shell=bash
# The API server dies while pods start, and is away for a minute: whatever was under way then, every pod runs in the end, each with its own
# GPUs, and the driver itself has failed no call that it did not wait for as long as the kubelet would (45 s - 5 s).
claim_template one "$(gpu_request 1)"
kubelets=$(kubelet_errors)
for i in $(seq "$GPU_COUNT"); do pod "p$i" template=one; done
trap '"$CLUSTER" start apiserver || true' EXIT
"$CLUSTER" kill apiserver
sleep 60
"$CLUSTER" start apiserver
trap - EXIT
back() { kc get --raw /readyz >/dev/null 2>&1; }
eventually 60 "the API server is back" back
for i in $(seq "$GPU_COUNT"); do running "p$i" 150; done
for i in $(seq "$GPU_COUNT"); do sees_its_gpus "p$i"; done
failed=$(driver_log --since=5m | grep -F "claim operation failed" || true)
same "prepares that failed before their time" "" "$(grep -v 'total_ms=39[0-9]\{3\}\..*timed out waiting: API server' <<<"$failed")"
# The kubelet reads claims before it calls, and fails by itself without an API server.
expect_errors $(($(kubelet_errors) - kubelets))
mapfile -t pods < <(seq -f 'p%g' "$GPU_COUNT")
delete_pods "${pods[@]}"
