# shellcheck shell=bash
# What is published is, byte for byte but for names that the cluster makes up, the golden file. 07 looks 60 s later whether it stood still.
published() {
  slices | jq -S --arg node "$NODE" '[.items | sort_by(.metadata.name)[] | .spec
    | .nodeName |= (if . == $node then "NODE" else . end) | .pool.name |= (if . == $node then "NODE" else . end) | del(.pool.generation)]'
}

published >"$WORK/published.json"
diff -u "$TOP/test/cluster/golden/$PROFILE-x$GPU_COUNT.json" "$WORK/published.json" >&2 || fail "the slices differ from the golden file"

# The owner is this very Node object, so the slices go with it.
uid=$(kc get node "$NODE" -o jsonpath='{.metadata.uid}')
slices | jq -e --arg uid "$uid" --arg n "$NODE" '[.items[].metadata.ownerReferences | length == 1 and (.[0] | .kind == "Node" and .apiVersion == "v1"
  and .name == $n and .uid == $uid and .controller == true and .blockOwnerDeletion == null)] | all' >/dev/null || fail "wrong owner of a slice"

slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' >"$LOGS/slices-seen"
date +%s >"$LOGS/slices-seen-at"
