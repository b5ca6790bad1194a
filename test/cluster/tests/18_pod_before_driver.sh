# shellcheck shell=bash
# A pod that waits for GPUs before the driver is there runs within 10 s of the driver's registration.
before=$(driver_restarts)
claim_template one "$(gpu_request 1)"
kd patch daemonset "$DAEMONSET" --type=merge -p '{"spec":{"template":{"spec":{"nodeSelector":{"tundra.test/away":"true"}}}}}' >&2
gone() { [ -z "$(kd get pods -l tundra-component=kubelet-plugin -o name)" ]; }
eventually 90 "the driver is gone" gone
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com >&2
pod early template=one
sleep 2
same "phase without a driver" Pending "$(phase early)"
kd patch daemonset "$DAEMONSET" --type=json -p '[{"op":"remove","path":"/spec/template/spec/nodeSelector/tundra.test~1away"}]' >&2
registered() { [ "$(slice_devices)" = "$GPU_COUNT" ]; }
eventually 60 "the driver has registered and published" registered
running early 10
sees_its_gpus early
no_event early FailedPrepareDynamicResources
# It is another pod now, which counts from zero.
same "restarts of the new driver" 0 "$(driver_restarts)"
expect_restarts $((-before))
delete_pods early
