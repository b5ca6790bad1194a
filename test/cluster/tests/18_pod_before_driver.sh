# shellcheck shell=bash
# A pod that waits for GPUs before the driver is there runs within 10 s of the driver's registration; and no GPU is offered to the scheduler
# before the kubelet knows the driver.
before=$(driver_restarts)
claim_template one "$(gpu_request 1)"
trap 'driver_back || true' EXIT
driver_away
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com >&2
pod early template=one
sleep 2
mark=$(audit_mark)
kubelet_at=$(($(stat -c %s "$STATE/log/kubelet.log") + 1))
same "phase without a driver" Pending "$(phase early)"
driver_back
trap - EXIT
running early 10
sees_its_gpus early
no_event early FailedPrepareDynamicResources

# Both logs are of this machine's clock: the API server's first create of a slice, the kubelet's word that it has the driver.
created=$(slice_created "$mark")
known=$(tail -c "+$kubelet_at" "$STATE/log/kubelet.log" |
  sed -n 's/^I\(..\)\(..\) \([0-9:.]*\) .*"Registered DRA plugin".* driverName="gpu.nvidia.com".*/\1-\2 \3/p' | sed -n 1p)
if [ -z "$created" ] || [ -z "$known" ]; then fail "no create of a slice ('$created') or no registration ('$known') in the logs"; fi
known=$(date -d "$(date +%Y)-$known" +%s%6N)
[ "$created" -gt "$known" ] || fail "a slice was created $(((known - created) / 1000)) ms before the kubelet knew the driver"

# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-before))
delete_pods early
