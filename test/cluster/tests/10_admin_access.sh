# shellcheck shell=bash
# adminAccess: a monitor sees all GPUs while others hold them, and its end takes nothing from them.
kc label namespace "$NS" resource.kubernetes.io/admin-access=true >&2
claim_template one "$(gpu_request 1)"
claim_template monitor "$(jq -nc '{requests: [{name: "gpu", exactly: {deviceClassName: "gpu.nvidia.com", allocationMode: "All", adminAccess: true}}]}')"
pod user template=one
running user
pod monitor template=monitor
running monitor
sees_its_gpus monitor
same "GPUs that the monitor sees" "$GPU_COUNT" "$(nodes_inside monitor | wc -l)"
# One that starts while the monitor runs gets its device all the same.
pod later template=one
running later
sees_its_gpus later
delete_pods monitor
sees_its_gpus user
may_open user main "/dev/nvidia$(nodes_inside user)"
delete_pods user later
