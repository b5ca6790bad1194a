# shellcheck shell=bash
# Slices deleted by hand come back, the same, within 2 s.
specs() { slices | jq -S '[.items[].spec | del(.pool.generation)] | sort_by(.devices[0].name)'; }
before=$(specs)
old=$(slices | jq -r '.items[].metadata.uid' | sort)
mark=$(audit_mark)
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com --wait=false >&2
deleted=$(date +%s%6N)
all_back() { [ "$(slice_devices)" = "$GPU_COUNT" ] && [ -n "$(slice_created "$mark")" ]; }
eventually 20 "the slices are back" all_back
# By the API server's own clock: how long kubectl takes on a busy machine is not the driver's.
took=$((($(slice_created "$mark") - deleted) / 1000))
[ "$took" -le 2000 ] || fail "the slices came back $took ms after they were deleted"
same "the new slices" "$before" "$(specs)"
[ "$old" != "$(slices | jq -r '.items[].metadata.uid' | sort)" ] || fail "the slices were not deleted at all"
