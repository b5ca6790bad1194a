# shellcheck shell=bash
# A request with alternatives: the first cannot be had, the result's request is "gpu/any", and the container gets the device.
claim_template choice "$(jq -nc '{requests: [{name: "gpu", firstAvailable: [
  {name: "huge", deviceClassName: "gpu.nvidia.com", selectors: [{cel: {expression: "device.capacity[\"gpu.nvidia.com\"].memory.compareTo(quantity(\"4Ti\")) >= 0"}}]},
  {name: "any", deviceClassName: "gpu.nvidia.com"}]}]}')"
# The container names the request, so the kubelet must find the sub-request's device under it.
pod p template=choice '.spec.containers[0].resources.claims = [{name: "gpu", request: "gpu"}]'
running p
same "request of the result" gpu/any "$(claim_json "$(claim_of p)" | jq -r '.status.allocation.devices.results[0].request')"
sees_its_gpus p
delete_pods p
