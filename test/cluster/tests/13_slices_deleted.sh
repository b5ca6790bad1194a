# shellcheck shell=bash
# Slices deleted by hand come back, the same, within 2 s.
specs() { slices | jq -S '[.items[].spec | del(.pool.generation)] | sort_by(.devices[0].name)'; }
before=$(specs)
old=$(slices | jq -r '.items[].metadata.uid' | sort)
kc delete resourceslices --field-selector spec.driver=gpu.nvidia.com --wait=false >&2
all_back() { [ "$(slice_devices)" = "$GPU_COUNT" ]; }
eventually 3 "the slices are back" all_back
same "the new slices" "$before" "$(specs)"
[ "$old" != "$(slices | jq -r '.items[].metadata.uid' | sort)" ] || fail "the slices were not deleted at all"
