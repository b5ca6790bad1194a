# shellcheck shell=bash
# A pod with one GPU sees exactly the node that status.allocation means, and the driver's libraries; nobody else sees a GPU.
claim_template one "$(gpu_request 1)"
pod holder template=one '.spec.containers += [.spec.containers[0] | .name = "beside" | del(.resources)]'
pod outsider
running holder
running outsider

sees_its_gpus holder
minor=$(nodes_inside holder)
[ -n "$minor" ] || fail "no GPU node in the pod"
may_open holder main "/dev/nvidia$minor"
may_open holder main /dev/nvidiactl

# Every library of the driver is there, is known to the container's loader, and ldconfig -p works in the container.
inside holder main ldconfig -p >"$WORK/ldconfig"
for lib in libcuda.so.1 libnvidia-ml.so.1; do
  path=$(awk -v l="$lib" '$1 == l { print $NF; exit }' "$WORK/ldconfig")
  [ -n "$path" ] || fail "$lib is not in the container's loader cache"
  inside holder main test -s "$path" || fail "$path is in the loader cache but not in the container"
done
# shellcheck disable=SC2016 # for the shell in the container
inside holder main sh -c 'test -L "$(ldconfig -p | awk "/libcuda.so.1 /{print \$NF}" | xargs dirname)/libcuda.so"' || fail "no libcuda.so for compilers"
same "NVIDIA_VISIBLE_DEVICES" void "$(inside holder main printenv NVIDIA_VISIBLE_DEVICES)"

# Neither the container beside it nor another pod has a node, and a node made by hand opens for nobody it was not given to.
same "GPUs beside" "" "$(nodes_inside holder beside)"
same "GPUs outside" "" "$(nodes_inside outsider)"
other=$(((minor + 1) % GPU_COUNT))
for who in "holder main $other" "holder beside $minor" "outsider main $minor"; do
  read -r p c m <<<"$who"
  inside "$p" "$c" mknod /tmp/gpu c "$NVIDIA_MAJOR" "$m"
  may_not_open "$p" "$c" /tmp/gpu
done
delete_pods holder outsider
