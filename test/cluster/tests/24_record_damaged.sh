# shellcheck shell=bash
# A record of the ledger is damaged on disk while the driver is away: that claim alone is quarantined and told, the other is as it was, and
# the damaged one is freed by its Unprepare.
restarts=$(driver_restarts)
ledger=/var/lib/kubelet/plugins/gpu.nvidia.com/ledger
claim_template one "$(gpu_request 1)"
pod hurt template=one
pod well template=one
running hurt
running well
hurt=$(kn get resourceclaim "$(claim_of hurt)" -o jsonpath='{.metadata.uid}')
well=$(kn get resourceclaim "$(claim_of well)" -o jsonpath='{.metadata.uid}')
trap 'driver_back || true' EXIT
driver_away
# One byte of the record's body, behind its key; the claim's name is in it.
at=$(on_node grep -obaF "$(claim_of hurt)" "$ledger" | tail -n 1 | cut -d: -f1)
[ -n "$at" ] || fail "no record of the claim in the ledger"
printf '#' | on_node dd of="$ledger" bs=1 seek="$at" conv=notrunc status=none
driver_back
trap - EXIT
state_of() { driver_status | jq -r --arg uid "$1" '[.. | objects | select(.uid? == $uid)][0].state'; }
same "state of the claim with the damaged record" "quarantined" "$(state_of "$hurt")"
same "state of the other claim" "prepared" "$(state_of "$well")"
told() { kc get events -A -o json | jq -e --arg uid "$hurt" '.items[] | select(.reason == "LedgerCorrupt") | select(.message | contains($uid))' >/dev/null; }
eventually 20 "an Event names the claim" told
delete_pods hurt
same "state of the damaged one after its Unprepare" "null" "$(state_of "$hurt")"
sees_its_gpus well
# It is another pod now, which counts from zero.
expect_restarts $((-restarts))
delete_pods well
