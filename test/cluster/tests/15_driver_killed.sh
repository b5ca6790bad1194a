# shellcheck shell=bash
# kill -9 of the driver while a prepare is under way: its record is on disk, the kubelet has no answer. The pod runs within 120 s, and
# the driver still knows what it had prepared before.
#
# What holds the prepare open: strace makes each rename in the driver's main process take 20 s. The record is written by another process
# (the disk worker), so it gets to the disk; the effect that comes next, the CDI spec, does not get its name. Nothing else that the
# process does for a pod renames a file, so probes and the reading of its token do not fall into the trap first.
expect_restarts 1
claim_template one "$(gpu_request 1)"
pod before template=one
running before
before=$(kn get resourceclaim "$(claim_of before)" -o jsonpath='{.metadata.uid}')
pid=$(driver_pid)
[ -n "$pid" ] || fail "no process of the driver found"
ledger=/var/lib/kubelet/plugins/gpu.nvidia.com/ledger
strace -qq -p "$pid" -e trace=/^rename -e inject=/^rename:delay_enter=20000000 -o "$WORK/strace" &
tracer=$!
# Left behind by a failure, it would slow every test that follows.
trap 'kill "$tracer" 2>/dev/null || true' EXIT
sleep 0.5
kill -0 "$tracer" || fail "strace could not attach"
pod p template=one
has_claim() { kn get resourceclaims -o json | jq -e '[.items[] | select(.status.allocation != null)] | length == 2' >/dev/null; }
eventually 20 "the claim is allocated" has_claim
uid=$(kn get resourceclaim "$(claim_of p)" -o jsonpath='{.metadata.uid}')
on_disk() { on_node grep -qaF "$uid" "$ledger"; }
eventually 15 "the record is on disk" on_disk
same "phase while the prepare is held" Pending "$(phase p)"
errors=$(kubelet_errors)
kill -KILL "$pid"
kill "$tracer" 2>/dev/null || true
begin=$SECONDS
eventually 60 "the driver serves again" driver_publishes
running_soon 60 p
say "the pod ran $((SECONDS - begin)) s after the kill"
sees_its_gpus p
# Its ledger was read: it knows the claim that no one has asked it for since.
driver_status | jq -e --arg uid "$before" '[.. | objects | select(.uid? == $uid and .state? == "prepared") | .devices[]] | length == 1' >/dev/null ||
  fail "the claim prepared before is not in tundra status"
# The broken call is the one failure; more would be a driver that answers wrongly after its restart.
same "failed calls" 1 "$(($(kubelet_errors) - errors))"
expect_errors 1
delete_pods p before
