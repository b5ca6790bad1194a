# shellcheck shell=bash
# The disk with the driver's state is full: a prepare fails and says why, an unprepare works, and with room again pods run, all without a
# restart of the driver.
restarts=$(driver_restarts)
folder=/var/lib/kubelet/plugins/gpu.nvidia.com
mapfile -t pods < <(seq -f 'p%g' "$GPU_COUNT")
small_disk_gone() {
  # Their records go with the disk, so they go first.
  delete_pods "${pods[@]}" --ignore-not-found || true
  driver_away || true
  on_node umount "$folder" || true
  driver_back || true
}
trap small_disk_gone EXIT
driver_away
on_node mount -t tmpfs -o size=2m,mode=750 tmpfs "$folder"
# Room for the hook and little more: the ledger cannot take space ahead for hundreds of records, as it does on a disk that has it.
on_node dd if=/dev/zero of="$folder/filler" bs=1k count=1750 status=none
driver_back
claim_template one "$(gpu_request 1)"
pod p1 template=one
running p1
on_node dd if=/dev/zero of="$folder/filler2" bs=4k status=none 2>/dev/null || true
errors=$(kubelet_errors)
# The last block that the ledger has may take a few records more, but not as many as there are GPUs.
for p in "${pods[@]:1}"; do pod "$p" template=one; done
said() {
  kn get events -o json |
    jq -e '.items[] | select(.reason == "FailedPrepareDynamicResources") | select(.message | contains("No space left on device"))' >/dev/null
}
eventually 90 "a pod says that the disk is full" said
# All of them: the kubelet would try those that failed again after more than a minute.
delete_pods "${pods[@]}"
failed=$(($(kubelet_errors) - errors))
on_node rm "$folder/filler" "$folder/filler2"
for p in "${pods[@]:1}"; do pod "$p" template=one; done
for p in "${pods[@]:1}"; do running "$p" 20; done
for p in "${pods[@]:1}"; do sees_its_gpus "$p"; done
same "prepares that failed with room again" "$failed" "$(($(kubelet_errors) - errors))"
expect_errors "$failed"
same "restarts since" 0 "$(driver_restarts)"
trap - EXIT
small_disk_gone
# It is another pod now, which counts from zero.
expect_restarts $((-restarts))
