# shellcheck shell=bash
# A pod as written for the device plugin: nvidia.com/gpu: 1, no claim of its own.
pod p '' '.spec.containers[0].resources = {limits: {"nvidia.com/gpu": "1"}}'
running p
claim=$(kn get pod p -o jsonpath='{.status.extendedResourceClaimStatus.resourceClaimName}')
[ -n "$claim" ] || fail "the scheduler made no claim for nvidia.com/gpu"
sees_its_gpus p main "$claim"
same "GPUs" 1 "$(nodes_inside p | wc -l)"
delete_pods p
