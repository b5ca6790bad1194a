# shellcheck shell=bash
# `tundra doctor` in the driver's pod: nothing fails on this node; a verb taken from the ClusterRole and a runtime with CDI switched off are
# found, each with what to do. `tundra support-bundle` there holds what its README says and no secret of the pod.
doctor() { exec_in tundra "$(driver_pod)" gpus tundra doctor "$@"; }
# The same with other variables in the environment, of which there is no `env` in the image.
in_driver() { exec_in tundra "$(driver_pod)" gpus bash -c "$1"; }
verdict() { jq -r --arg n "$1" '.checks[] | select(.name == $n) | "\(.verdict): \(.found)"'; }
fix() { jq -r --arg n "$1" '.checks[] | select(.name == $n) | .fix // ""'; }
begins() { case $3 in "$2"*) ;; *) fail "$1: wanted '$2...', got '$3'" ;; esac }

claim_template one "$(gpu_request 1)"
pod p template=one
running p
uid=$(kn get resourceclaim "$(claim_of p)" -o jsonpath='{.metadata.uid}')

# --- doctor: nothing wrong. A sandbox may lack a capability, and where this kubelet has its configuration nobody can know. ---
doctor -o json >"$WORK/well.json" || fail "doctor fails on a node that is well: $(doctor)"
same "checks that do not say ok" "" "$(jq -r '.checks[] | select(.verdict != "ok" and .name != "privileges" and .name != "kubelet") | "\(.name): \(.found)"' "$WORK/well.json")"
[ "$(jq '.checks | length' "$WORK/well.json")" -ge 20 ] || fail "only $(jq '.checks | length' "$WORK/well.json") checks"
begins "gpus" "ok: $GPU_COUNT NVIDIA" "$(verdict gpus <"$WORK/well.json")"
begins "cdi folder" "ok: /var/run/cdi: 1 specs of claims" "$(verdict "cdi folder" <"$WORK/well.json")"
begins "ledger" "ok: /var/lib/kubelet/plugins/gpu.nvidia.com/ledger: 1 claims" "$(verdict ledger <"$WORK/well.json")"
begins "node agent" "ok: tundra " "$(verdict "node agent" <"$WORK/well.json")"

# --- a verb is missing ---
role=clusterrole/tundra-kubelet-plugin
kc get "$role" -o json >"$WORK/role.json"
restore() { kc replace -f - <<<"$(jq 'del(.metadata.resourceVersion)' "$WORK/role.json")" >&2; }
trap 'restore || true' EXIT
jq '(.rules[] | select(.resources == ["resourceslices"]).verbs) -= ["delete"]' "$WORK/role.json" | kc replace -f - >&2
# The API server's authorizer hears of it a moment later.
denied() {
  rc=0
  doctor -o json >"$WORK/denied.json" || rc=$?
  [ "$(verdict rbac <"$WORK/denied.json")" = "FAIL: denied: delete resourceslices" ]
}
eventually 10 "doctor misses the verb, it says: $(verdict rbac <"$WORK/denied.json" 2>/dev/null)" denied
same "exit status with a failing check" 1 "$rc"
begins "what to do" "bind the chart's ClusterRole (tundra-kubelet-plugin) to this service account" "$(fix rbac <"$WORK/denied.json")"
restore
trap - EXIT
allowed() { doctor >/dev/null; }
eventually 10 "nothing fails with the verb back" allowed

# --- CDI is off: a host whose containerd says so ---
on_node mkdir -p /run/other-host/etc/containerd
# shellcheck disable=SC2016 # for the shell in the node
on_node sh -c 'printf "%s\n" "version = 2" "[plugins.\"io.containerd.grpc.v1.cri\"]" "  enable_cdi = false" >/run/other-host/etc/containerd/config.toml'
in_driver 'HOST_ROOT=/host-root/run/other-host tundra doctor -o json' >"$WORK/off.json" || true
on_node rm -r /run/other-host
begins "a runtime without CDI" "FAIL: " "$(verdict runtime <"$WORK/off.json")"
grep -q 'enable_cdi' <<<"$(fix runtime <"$WORK/off.json")" || fail "what to do about CDI: '$(fix runtime <"$WORK/off.json")'"

# --- the bundle ---
# Its token stands in a variable that goes into the bundle.
folder=$WORK/bundle
mkdir "$folder"
# shellcheck disable=SC2016 # for the shell in the pod
in_driver 'IMAGE_NAME="registry/$(</var/run/secrets/kubernetes.io/serviceaccount/token)" tundra support-bundle -o -' >"$WORK/bundle.tar" 2>"$WORK/bundle.said" || fail "support-bundle: $(cat "$WORK/bundle.said")"
tar -C "$folder" -xf "$WORK/bundle.tar"
for member in README.txt doctor.txt doctor.json status.json metrics.txt ledger.json resourceslices.json node.json version.json versions.txt \
  kernel.txt kmsg.txt driver.txt folders.txt environment.txt; do
  [ -f "$folder/$member" ] || fail "the bundle lacks $member"
  [ "$member" = README.txt ] || grep -qF "$member" "$folder/README.txt" || fail "its README does not tell of $member"
done
for member in "$folder"/*.json; do jq empty "$member" || fail "$(basename "$member") is no JSON"; done
same "devices in resourceslices.json" "$GPU_COUNT" "$(jq '[.. | objects | select(has("devices")) | .devices[]?] | length' "$folder/resourceslices.json")"
grep -qF "$uid" "$folder/ledger.json" || fail "the prepared claim is not in ledger.json"
grep -qF "$uid" "$folder/status.json" || fail "the prepared claim is not in status.json"
ls "$folder"/cdi/*"$uid"* >/dev/null || fail "the claim's CDI spec is not in the bundle"
grep -q '^tundra_requests_total{' "$folder/metrics.txt" || fail "metrics.txt has no counters"
grep -q 'registered by the kubelet' "$folder"/logs/*.log || fail "the driver's log is not in the bundle"
grep -qF 'IMAGE_NAME=registry/[removed]' "$folder/environment.txt" || fail "environment.txt: $(grep IMAGE_NAME "$folder/environment.txt")"

# No secret: the token, each of its parts, the certificate of the cluster.
# shellcheck disable=SC2016 # for the shell in the container
token=$(in_driver 'echo "$(</var/run/secrets/kubernetes.io/serviceaccount/token)"')
[ "${#token}" -gt 500 ] || fail "that is no token"
IFS=. read -ra parts <<<"$token"
for secret in "$token" "${parts[@]}" 'BEGIN CERTIFICATE' 'PRIVATE KEY'; do
  if grep -rlF -- "$secret" "$folder" "$WORK/bundle.tar" >&2; then fail "a secret is in the bundle: ${secret:0:12}..."; fi
done
delete_pods p
