# shellcheck shell=bash
# A pod that ends by itself gives its GPU back while its object stays.
claim_template all "$(gpu_request "$GPU_COUNT")"
pod job template=all '.spec.containers[0].command = ["/bin/sh", "-c", "ls /dev/nvidia[0-9]* | wc -l"]'
ended() { [ "$(phase job)" = Succeeded ]; }
eventually 30 "the pod ends" ended
same "GPUs the job saw" "$GPU_COUNT" "$(kn logs job)"
pod next template=all
running next
sees_its_gpus next
delete_pods next job
