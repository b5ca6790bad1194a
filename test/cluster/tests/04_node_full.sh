# shellcheck shell=bash
# Eight pods fill the node, the ninth waits and runs when one ends.
claim_template one "$(gpu_request 1)"
for i in $(seq "$GPU_COUNT"); do pod "p$i" template=one; done
for i in $(seq "$GPU_COUNT"); do running "p$i" 60; done
for i in $(seq "$GPU_COUNT"); do sees_its_gpus "p$i"; done
pod late template=one
refused() { events_of late FailedScheduling | grep -q .; }
eventually 15 "the scheduler says that nothing is free" refused
same "phase of the ninth" Pending "$(phase late)"
freed=$(nodes_inside p3)
delete_pods p3
running late
sees_its_gpus late
same "the ninth pod's GPU" "$freed" "$(nodes_inside late)"
no_event late FailedPrepareDynamicResources
for i in $(seq "$GPU_COUNT"); do [ "$i" = 3 ] || left+=("p$i"); done
delete_pods "${left[@]}" late
