# shellcheck shell=bash
# Our image under the manifests of others. Sourced by the tests that do so, after test/cluster/lib.sh.
#
#   others_install FILE NAMESPACE DAEMONSET    our chart goes, that comes; whatever becomes of the test, at its end our chart is back
#   others_remove                              and back, with what runs running on

# What upstream publishes of a full GPU, no more and no less, on a node whose GPUs have all of it (facts/nvidia-upstream.md 2.3).
# shellcheck disable=SC2034 # for the tests
UPSTREAM_ATTRIBUTES="addressingMode architecture brand cudaComputeCapability cudaDriverVersion driverVersion productName resource.kubernetes.io/numaNode resource.kubernetes.io/pciBusID resource.kubernetes.io/pcieRoot type uuid"
OTHERS_IMAGE=localhost/tundra:dev
OTHERS_FILE='' OTHERS_NS='' OTHERS_DS=''

ko() { kc -n "$OTHERS_NS" "$@"; }
others_objects() {
  sed -e "s,@IMAGE@,$OTHERS_IMAGE,g" -e "s,@TEST_IMAGE@,$TEST_IMAGE,g" -e "s,@DRIVER_ROOT@,$GPUS,g" -e "s,@DRIVER_ROOT_PARENT@,$(dirname "$GPUS"),g" \
    "$TOP/test/cluster/upstream/$OTHERS_FILE"
}
others_pod() { ko get pods --field-selector status.phase=Running -o jsonpath='{.items[0].metadata.name}'; }
# One that is going keeps the phase Running until it is gone.
others_alone() { [ "$(ko get pods -o json | jq '.items | length')" = 1 ]; }
others_exec() { exec_in "$OTHERS_NS" "$(others_pod)" gpus "$@"; }
others_status() { others_exec tundra status -o json; }
# Slices outlive a driver by half a minute, so it is asked as well.
others_publish() { others_status 2>/dev/null | jq -e '.inventory.state == "ready"' >/dev/null && [ "$(slice_devices)" = "$GPU_COUNT" ]; }
others_container() { ko get pod "$(others_pod)" -o json | jq -c '.status.containerStatuses[0] | [.containerID, .restartCount]'; }
others_metrics() { on_node curl -sf --max-time 10 "http://$(ko get pod "$(others_pod)" -o jsonpath='{.status.podIP}'):8080/metrics"; }
others_ready() {
  ko rollout status "daemonset/$OTHERS_DS" --timeout=90s >&2 || fail "$OTHERS_DS does not get ready"
  eventually 30 "only the new instance is there" others_alone
  eventually 40 "$OTHERS_DS publishes" others_publish
}

ours_gone() { [ -z "$(kd get pods -l tundra-component=kubelet-plugin -o name)" ]; }
ours_remove() {
  OURS_RESTARTS=$(driver_restarts)
  trap others_end EXIT
  timeout 100 "$CLUSTER" helm uninstall "$RELEASE" -n tundra --wait --timeout 90s >&2
  eventually 60 "our driver is gone" ours_gone
}
others_install() {
  OTHERS_FILE=$1 OTHERS_NS=$2 OTHERS_DS=$3
  ours_remove
  others_objects | kc apply -f - >&2
}

others_away() { ! kc get namespace "$OTHERS_NS" >/dev/null 2>&1; }
others_remove() {
  others_objects | kc delete --ignore-not-found --wait=true -f - >&2
  eventually 90 "what was installed is gone" others_away
  install_chart >&2
  trap - EXIT
  eventually 60 "our driver publishes" driver_publishes
  # It is another pod now, which counts from zero.
  same "restarts of our driver" 0 "$(driver_restarts)"
  expect_restarts $((-OURS_RESTARTS))
}

# A test that failed: what it installed must not be there for the next.
others_end() {
  local rc=$?
  [ -z "$OTHERS_NS" ] || {
    ko get pods -o wide
    ko logs "daemonset/$OTHERS_DS" --all-containers --tail=60
    others_objects | kc delete --ignore-not-found --wait=true -f -
  } >&2 || true
  if declare -F mend_test >/dev/null; then mend_test >&2 || true; fi
  install_chart >&2 || true
  exit "$rc"
}

# What the API server refused to whom, from a mark on; Events are refused by upstream's roles, and tundra does without.
refused_since() { # refused_since MARK USER
  tail -c "+$(($1 + 1))" "$STATE/log/audit.log" | jq -r --arg u "$2" 'select(.user.username == $u and .responseStatus.code == 403
    and .objectRef.resource != "events") | "\(.verb) \(.requestURI)"' | sort -u
}

# Attributes of every device, and the golden file: nothing of ours beside upstream's.
publishes_what_upstream_does() {
  slices | jq -r '.items[].spec.devices[].attributes | keys | join(" ")' | sort -u >"$WORK/attributes"
  same "the sets of attributes" "$UPSTREAM_ATTRIBUTES" "$(cat "$WORK/attributes")"
  slices | jq -S --arg node "$NODE" '[.items | sort_by(.metadata.name)[] | .spec
    | .nodeName |= (if . == $node then "NODE" else . end) | .pool.name |= (if . == $node then "NODE" else . end) | del(.pool.generation)]' |
    diff -u "$TOP/test/cluster/golden/$PROFILE-x$GPU_COUNT.json" - >&2 || fail "the slices differ from the golden file"
}

# The probes are what upstream's are, and answered.
probes_pass() {
  ko get pod "$(others_pod)" -o json | jq -e '.status.containerStatuses[0] | .name == "gpus" and .started and .ready and .restartCount == 0' >/dev/null ||
    fail "the container is not started and ready at its first try"
}

has_upstreams_metrics() {
  local name
  others_metrics >"$WORK/metrics"
  for name in nvidia_dra_requests_total nvidia_dra_request_duration_seconds_bucket nvidia_dra_requests_inflight; do
    grep -q "^$name{.*driver=\"gpu.nvidia.com\"" "$WORK/metrics" || fail "no metric $name"
  done
  grep -q "^nvidia_dra_prepared_devices{.*device_type=\"gpu\"" "$WORK/metrics" || fail "no metric nvidia_dra_prepared_devices"
}
