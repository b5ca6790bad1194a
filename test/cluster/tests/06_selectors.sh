# shellcheck shell=bash
# CEL on attributes and memory; what matches nothing waits.
device=$(slices | jq -r '.items[0].spec.devices[3].name')
uuid=$(uuid_of "$device")
name=$(slices | jq -r '.items[0].spec.devices[0].attributes.productName.string')
claim_template exact "$(gpu_request 1 "device.attributes['gpu.nvidia.com'].uuid == '$uuid'")"
claim_template big "$(gpu_request 1 "device.attributes['gpu.nvidia.com'].productName == '$name'" \
  "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('16Gi')) >= 0" \
  "device.attributes['gpu.nvidia.com'].driverVersion.isGreaterThan(semver('500.0.0'))")"
claim_template none "$(gpu_request 1 "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('4Ti')) >= 0")"
# Both GPUs below one PCIe root, or on one NUMA node at least.
claim_template near "$(gpu_request 2 | jq -c '.constraints = [{requests: ["gpu"], matchAttribute: "resource.kubernetes.io/numaNode"}]')"
pod exact template=exact
running exact
pod big template=big
pod none template=none
pod near template=near
running big
running near
same "device chosen by UUID" "$(minor_of_uuid "$uuid")" "$(nodes_inside exact)"
for p in exact big near; do sees_its_gpus "$p"; done
nodes=$(allocated "$(claim_of near)" | while read -r d; do
  slices | jq -r --arg d "$d" '.items[].spec.devices[] | select(.name == $d) | .attributes["resource.kubernetes.io/numaNode"].int'
done | sort -u | wc -l)
same "NUMA nodes of the pair" 1 "$nodes"
same "phase of the pod that asks too much" Pending "$(phase none)"
delete_pods exact big none near
