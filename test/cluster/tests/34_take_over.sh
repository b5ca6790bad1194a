# shellcheck shell=bash
# A node changes drivers with its pods running. There and back: `tundra export --upstream` writes the state file that NVIDIA's driver would
# take (judged by a checker of its own), and our driver takes it over again. Then files as that driver leaves them, both versions,
# written by the test: pods run on, their GPUs are nobody else's, containers restart with them, Unprepare frees them.
CHECKPOINT=$TOP/test/cluster/upstream/checkpoint.py
DISK=$STATE/kubelet/plugins/gpu.nvidia.com
restarts=$(driver_restarts)
boot_id=$(cat /proc/sys/kernel/random/boot_id)
claim_template one "$(gpu_request 1)"
claim_template two "$(gpu_request 2)"
pod a template=one '.spec.restartPolicy = "Always"'
pod b template=two
running a
running b
seen() { for p in a b; do echo "$p $(container_id "$p") $(nodes_inside "$p" | paste -sd,)"; done; }
before=$(seen)
slices >"$WORK/slices.json"
claims() { kn get resourceclaims -o json >"$WORK/claims.json"; }
claims

# The driver goes, and whatever becomes of the test, it is back at its end.
begun=00000000-1111-4222-8333-444444444444
begun_away() { on_node sh -c "rm -f /run/cdi/*$begun*"; }
trap 'begun_away; driver_back || true' EXIT
driver_away

say "== our state as theirs"
on_node "$TOP/build/release/bin/tundra" export --upstream --cdi-root=/var/run/cdi >&2
"$CHECKPOINT" check "$DISK/checkpoint.json" "$WORK/claims.json" "$WORK/slices.json" "$boot_id" >&2 || fail "NVIDIA's driver would not take the file"
[ ! -e "$DISK/ledger" ] || fail "the ledger is still there: what it says will not be true"
same "CDI files" "$(jq -r '.items[].metadata.uid | "k8s.gpu.nvidia.com-claim_\(.).yaml"' "$WORK/claims.json" | sort)" \
  "$(on_node find /run/cdi -name 'k8s.gpu.nvidia.com-claim_*' -printf '%f\n' | sort)"

taken_over() { # taken_over CLAIMS...: what is in the ledger now, and nothing else
  [ ! -e "$DISK/checkpoint.json" ] || fail "checkpoint.json is still there"
  same "claims after the take-over" "$(printf '%s\n' "$@" | sort)" \
    "$(driver_status | jq -r '[.. | objects | select((.claims | type) == "array")][0].claims[] | select(.state == "prepared") | .uid' | sort)"
}
mapfile -t uids < <(jq -r '.items[].metadata.uid' "$WORK/claims.json")

say "== and back"
driver_back
taken_over "${uids[@]}"
same "pods, containers and GPUs" "$before" "$(seen)"

# As upstream leaves a node: no trace of tundra, its state file, its CDI files.
as_upstream() { # as_upstream VERSION [UID]
  driver_away
  rm -rf "${DISK:?}"
  mkdir -m 0750 "$DISK"
  "$CHECKPOINT" write "$1" "$WORK/claims.json" "$WORK/slices.json" "$boot_id" ${2:+"$2"} >"$DISK/checkpoint.json" || fail "no checkpoint.json"
  local uid claim minors
  on_node sh -c 'rm -f /run/cdi/k8s.gpu.nvidia.com*'
  for uid in "${uids[@]}"; do
    jq --arg u "$uid" '.items[] | select(.metadata.uid == $u)' "$WORK/claims.json" >"$WORK/claim.json"
    mapfile -t minors < <(jq -r '.status.allocation.devices.results[].device' "$WORK/claim.json" | while read -r d; do
      minor_of_uuid "$(jq -r --arg d "$d" '.items[].spec.devices[] | select(.name == $d) | .attributes.uuid.string' "$WORK/slices.json")"
    done)
    claim=$WORK/k8s.gpu.nvidia.com-claim_$uid.yaml
    "$CHECKPOINT" spec "$GPUS" "$WORK/claim.json" "${minors[@]}" >"$claim"
    on_node cp "$claim" /run/cdi/
  done
}

say "== version 1"
as_upstream v1
driver_back
taken_over "${uids[@]}"
same "pods, containers and GPUs" "$before" "$(seen)"
pod c template=one
running c
sees_its_gpus c
claims
all=$(for p in a b c; do nodes_inside "$p"; done)
same "GPUs given twice" "" "$(sort -n <<<"$all" | uniq -d)"

say "== version 2, with a prepare that never ended"
mapfile -t uids < <(jq -r '.items[].metadata.uid' "$WORK/claims.json")
as_upstream v2 "$begun"
on_node sh -c "echo 'cdiVersion: 0.5.0' >/run/cdi/k8s.gpu.nvidia.com-claim_$begun.yaml"
driver_back
trap begun_away EXIT
taken_over "${uids[@]}"
same "CDI file of the prepare that never ended" "" "$(on_node find /run/cdi -name "*$begun*")"
same "pods, containers and GPUs" "$before" "$(seen)"
[ -e "$DISK/checkpoint.json.taken-over" ] || fail "the file taken over was not kept"

# The CDI files are ours again: a container that restarts gets its GPU by them. Unprepare gives it back.
id=$(container_id a)
inside a main sh -c 'kill -TERM 1' || true
restarted() { [ "$(container_id a)" != "$id" ] && [ "$(kn get pod a -o jsonpath='{.status.containerStatuses[0].ready}')" = true ]; }
eventually 60 "the container has restarted" restarted
sees_its_gpus a
sees_its_gpus b
# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-restarts))
delete_pods a b c
rm -f "$DISK"/checkpoint.json.taken-over*
