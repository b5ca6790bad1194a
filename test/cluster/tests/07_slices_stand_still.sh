# shellcheck shell=bash
# Nothing was written to the slices since 01 looked, while pods came and went, for 60 s at least.
[ -f "$LOGS/slices-seen" ] || {
  slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' >"$LOGS/slices-seen"
  date +%s >"$LOGS/slices-seen-at"
}
left=$(($(cat "$LOGS/slices-seen-at") + 60 - $(date +%s)))
if [ "$left" -gt 0 ]; then sleep "$left"; fi
slices | jq -r '.items[].metadata | "\(.name) \(.resourceVersion)"' | diff -u "$LOGS/slices-seen" - >&2 || fail "a slice was written"
