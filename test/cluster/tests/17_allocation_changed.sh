# shellcheck shell=bash
# The same claim object, prepared for one device, is allocated another while the kubelet is away and has lost its own record of it. The driver
# must believe the claim, not its ledger: undo the old device, prepare the new one.
first=$(slices | jq -r '.items[0].spec.devices[0].name')
claim moving "$(gpu_request 1)"
pod a claim=moving
running a
first=$(allocated moving)
uid=$(kn get resourceclaim moving -o jsonpath='{.metadata.uid}')

kubelet_stop
# Without its pod the controller frees the claim; the pin takes the device before the claim is allocated again.
kn delete pod a --force --grace-period=0 >&2
free() { [ -z "$(kn get resourceclaim moving -o jsonpath='{.status.allocation}')" ]; }
eventually 30 "the claim is free" free
claim pin "$(gpu_request 1 "device.attributes['gpu.nvidia.com'].uuid == '$(uuid_of "$first")'")"
pod pinned claim=pin
pinned() { [ -n "$(kn get resourceclaim pin -o jsonpath='{.status.allocation}')" ]; }
eventually 30 "the first device is taken by another claim" pinned
pod b claim=moving
moved() { [ -n "$(kn get resourceclaim moving -o jsonpath='{.status.allocation}')" ]; }
eventually 30 "the claim is allocated again" moved
second=$(allocated moving)
[ "$first" != "$second" ] || fail "the allocation did not change"
same "the claim is the same object" "$uid" "$(kn get resourceclaim moving -o jsonpath='{.metadata.uid}')"
rm "$STATE/kubelet/dra_manager_state"
kubelet_start

running b 100
running pinned 100
sees_its_gpus b main moving
sees_its_gpus pinned main pin
delete_pods b pinned
