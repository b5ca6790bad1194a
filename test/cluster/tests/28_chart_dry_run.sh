# shellcheck shell=bash
# The API server takes what the chart renders, for each set of values of test/wire/chart/values. Only kinds of other projects, which
# this server does not know, are left out.
FOREIGN='ServiceMonitor|PrometheusRule|SecurityContextConstraints'
documents() { awk 'BEGIN { RS = "(^|\n)---\n"; ORS = "\n---\n" } /(^|\n)kind: / && $0 !~ "(^|\n)kind: ('"$FOREIGN"')(\n|$)"' "$1"; }
dry_run() { documents "$1" | kd apply --validate=strict --dry-run=server -f -; }
render() { # render FILE [ARGUMENT...]: as another release, so that nothing that is installed is in the way
  local file=$1
  shift
  timeout 60 "$CLUSTER" helm template dry "$TOP/tools/deploy/chart" -n tundra -f "$file" "$@"
}

for file in "$TOP"/test/wire/chart/values/*.yaml; do
  name=$(basename "$file" .yaml)
  ! grep -q '^# offline:' "$file" || continue
  read -ra args <<<"$(sed -n 's/^# helm: //p' "$file")"
  render "$file" ${args[@]+"${args[@]}"} >"$WORK/$name.yaml"
  dry_run "$WORK/$name.yaml" >"$WORK/$name.said" 2>"$WORK/$name.errors" || fail "$name: $(cat "$WORK/$name.errors")"
  same "$name: objects that the server judged" "$(documents "$WORK/$name.yaml" | grep -c '^kind: ')" "$(grep -c '(server dry run)$' "$WORK/$name.said")"
done

# It does judge: this is what a lone maxSurge came to before the chart filled in the other value.
sed 's/^      maxUnavailable: 0$/      maxUnavailable: 1/' "$WORK/default.yaml" >"$WORK/refused.yaml"
if dry_run "$WORK/refused.yaml" >"$WORK/refused.said" 2>&1; then fail "both maxSurge and maxUnavailable were taken"; fi
grep -q 'maxSurge' "$WORK/refused.said" || fail "refused for another reason: $(cat "$WORK/refused.said")"
same "objects made by a dry run" "" "$(kd get daemonsets,serviceaccounts -l app.kubernetes.io/instance=dry -o name)"
