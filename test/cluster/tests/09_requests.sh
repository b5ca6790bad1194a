# shellcheck shell=bash
# Two requests in one claim: each container gets the device of the request that it names, and no other.
claim two "$(gpu_request 1 | jq -c '.requests = [(.requests[0] | .name = "left"), (.requests[0] | .name = "right")]')"
pod p claim=two '.spec.containers[0].resources.claims = [{name: "gpu", request: "left"}]
  | .spec.containers += [.spec.containers[0] | .name = "right" | .resources.claims = [{name: "gpu", request: "right"}]]
  | .spec.containers += [.spec.containers[0] | .name = "both" | .resources.claims = [{name: "gpu"}]]'
running p
device_of() { claim_json two | jq -r --arg r "$1" '.status.allocation.devices.results[] | select(.request == $r) | .device'; }
same "GPU of main" "$(device_of left | minors)" "$(nodes_inside p main)"
same "GPU of right" "$(device_of right | minors)" "$(nodes_inside p right)"
sees_its_gpus p both two
delete_pods p
