# shellcheck shell=bash
# tundra on a cluster of tools/cluster: our image, our chart, fake GPUs. Sourced after step.sh, with TOP, CLUSTER (the tool), STATE and
# NODE set, and MAIN and INDEX where it may be a further node; `tools/cluster tundra` and the cluster tests install it the same way.

# shellcheck disable=SC2034 # for the scripts that source this
TEST_IMAGE=localhost/tundra-test:1
RELEASE=tundra
DAEMONSET=tundra-kubelet-plugin
PROFILE=h200
GPU_COUNT=8
GPU_SEED=1
GPUS=$STATE/gpus
# No two nodes have the same GPUs.
[ "${INDEX:-1}" = 1 ] || GPU_SEED=$INDEX

cluster_of_node() { "$CLUSTER" --node "${INDEX:-1}" "$@"; }

release_binaries() {
  cd "$TOP" || return
  [ -f build/release/build.ninja ] || cmake --preset release
  cmake --build --preset release
}

# load_product_images [--full]: --full compiles inside the image build.
load_product_images() {
  "$TOP/tools/image" test
  "$TOP/tools/image" "$@" product
  cluster_of_node ctr images ls -q | grep -qxF "$TEST_IMAGE" || cluster_of_node image load "$TUNDRA_CACHE/images/test.tar"
  cluster_of_node image load "$TUNDRA_CACHE/images/tundra.tar"
}

make_gpus() {
  "$TOP/tools/fakegpu" make --root "$GPUS" --profile "$PROFILE" --count "$GPU_COUNT" --seed "$GPU_SEED" --mknod
}

install_chart() {
  local key
  # Same tag, new content: the annotation makes the pods roll.
  key=$(cat "$TUNDRA_CACHE/images/tundra.key")
  "$CLUSTER" kubectl label node "$NODE" nvidia.com/gpu.present=true --overwrite
  "$CLUSTER" helm upgrade --install "$RELEASE" "$TOP/tools/deploy/chart" -n tundra --create-namespace --wait --timeout 120s \
    --set image.repository=localhost/tundra,image.tag=dev,image.pullPolicy=Never \
    --set-string "kubeletPlugin.podAnnotations.tundra\.test/image=${key:0:16}" \
    --set "nvidiaDriverRoot=$GPUS,roots.proc=/host-root$GPUS/proc,roots.sys=/host-root$GPUS/sys" \
    --set logVerbosity=6
  "$CLUSTER" kubectl -n tundra rollout status "daemonset/$DAEMONSET" --timeout=90s
}

# The chart is there already: its DaemonSet comes to a node with the label.
join_chart() {
  "$CLUSTER" kubectl label node "$NODE" nvidia.com/gpu.present=true --overwrite
  "$CLUSTER" kubectl -n tundra rollout status "daemonset/$DAEMONSET" --timeout=90s
}

# Everything, from a running cluster to published GPUs; a second run changes only what is new.
install_tundra() {
  [ $# -gt 0 ] || step "release binaries" release_binaries
  step "images on the node" load_product_images "$@"
  step "$GPU_COUNT fake GPUs ($PROFILE)" make_gpus
  if [ "${INDEX:-1}" = 1 ]; then step "chart installed, driver ready" install_chart; else step "driver ready on $NODE" join_chart; fi
}
