# shellcheck shell=bash
# One claim for two containers of a pod, and for two pods, one of which comes and goes: the device stays prepared until the last one ends.
claim shared "$(gpu_request 1)"
pod a claim=shared '.spec.containers += [.spec.containers[0] | .name = "second"]'
pod b claim=shared
running a
running b
sees_its_gpus a main shared
sees_its_gpus a second shared
sees_its_gpus b main shared
delete_pods a
sees_its_gpus b main shared
may_open b main "/dev/nvidia$(nodes_inside b)"
pod c claim=shared
running c
same "the same GPU" "$(nodes_inside b)" "$(nodes_inside c)"
delete_pods b c
