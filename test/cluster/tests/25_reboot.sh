# shellcheck shell=bash
# The power is cut: every process and /run with its CDI folder are gone at once. The pod comes back with the GPU of its claim.
claim c "$(gpu_request 1)"
pod a claim=c '.spec.restartPolicy = "Always"'
running a
minor=$(nodes_inside a)
id=$(container_id a)
restarts=$(driver_restarts)
errors=$(kubelet_errors)
kubelet_errors >"$WORK/errors.new"
mv "$WORK/errors.new" "$WORK/errors-before-restart"
cut=$SECONDS
"$CLUSTER" reset-node
again() { [ "$(container_id a)" != "$id" ] && [ "$(kn get pod a -o jsonpath='{.status.containerStatuses[0].ready}')" = true ]; }
eventually 90 "the driver publishes" driver_publishes
say "the driver publishes $((SECONDS - cut)) s after the power was cut"
again_soon() { again || { nudge a && sleep 3 && again; }; }
eventually 120 "the pod's container runs again" again_soon
say "the pod runs $((SECONDS - cut)) s after the power was cut"
# By itself: a container that restarts is started without a call to the driver.
log_says "$(driver_pod)" 'CDI spec rebuilt' || fail "the driver left the CDI spec to the kubelet's next call"
sees_its_gpus a main c
same "GPU after the reboot" "$minor" "$(nodes_inside a)"
pod b claim=c
running b 60
same "GPU of the second pod" "$minor" "$(nodes_inside b)"
# Container creations before the driver runs again fail by themselves; the driver's own container came back once.
expect_errors $(($(kubelet_errors) - errors))
same "prepares that the driver failed" 0 "$(driver_errors prepare)"
expect_restarts $(($(driver_restarts) - restarts))
delete_pods a b
