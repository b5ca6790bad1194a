# shellcheck shell=bash
# A pod that waits for GPUs before the driver is there runs within 10 s of the driver's registration; and no GPU is offered to the scheduler
# before the kubelet knows the driver.
before=$(driver_restarts)
claim_template one "$(gpu_request 1)"
kd patch daemonset "$DAEMONSET" --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"tundra.test/away":"true"}}}}}' >&2
gone() { [ -z "$(kd get pods -l tundra-component=kubelet-plugin -o name)" ]; }
eventually 90 "the driver is gone" gone
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com >&2
pod early template=one
sleep 2
audit=$STATE/log/audit.log
audit_at=$(($(stat -c %s "$audit") + 1))
kubelet_at=$(($(stat -c %s "$STATE/log/kubelet.log") + 1))
same "phase without a driver" Pending "$(phase early)"
kd patch daemonset "$DAEMONSET" --type=json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/tundra.test~1away"}]' >&2
registered() { [ "$(slice_devices)" = "$GPU_COUNT" ]; }
eventually 60 "the driver has registered and published" registered
running early 10
sees_its_gpus early
no_event early FailedPrepareDynamicResources

# Both logs are of this machine's clock: the API server's first create of a slice, the kubelet's word that it has the driver.
created=$(tail -c "+$audit_at" "$audit" |
  jq -r 'select(.verb == "create" and .objectRef.resource == "resourceslices" and .responseStatus.code == 201) | .requestReceivedTimestamp' | sort | head -n 1)
known=$(tail -c "+$kubelet_at" "$STATE/log/kubelet.log" |
  sed -n 's/^I\(..\)\(..\) \([0-9:.]*\) .*"Registered DRA plugin".* driverName="gpu.nvidia.com".*/\1-\2 \3/p' | head -n 1)
if [ -z "$created" ] || [ -z "$known" ]; then fail "no create of a slice ('$created') or no registration ('$known') in the logs"; fi
[ "$(date -d "$created" +%s%6N)" -gt "$(date -d "$(date +%Y)-$known" +%s%6N)" ] || fail "a slice was created at $created, the kubelet knew the driver at $known"

# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-before))
delete_pods early
