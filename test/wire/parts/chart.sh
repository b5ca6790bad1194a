# shellcheck shell=bash
# The chart before helm, promtool and PyYAML: lint, a matrix of values, values that must be refused, the alert rules.
# TUNDRA_GOLDEN=write notes what is rendered now as what should be; look at the difference in git.

CHART=$TOP/tools/deploy/chart
CHART_TESTS=$TOP/test/wire/chart

prepare_chart() {
  need_packages prometheus python3 python3-yaml
  need_module helm "about 2 min"
}

chart_helm() { timeout 60 "$(module_bin helm)/helm" "$@"; }

# chart_verdict NAME COMMAND...: one line of result; what the command says is why.
chart_verdict() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    ok "chart: $name"
  else
    fail "chart: $name: $said"
  fi
}

chart_render() { # chart_render NAME
  local file=$CHART_TESTS/values/$1.yaml args
  # What a file wants of the command line stands in it.
  read -ra args <<<"$(sed -n 's/^# helm: //p' "$file")"
  chart_helm template tundra "$CHART" -n tundra -f "$file" ${args[@]+"${args[@]}"} >"$WORK/chart/$1.yaml"
}

# The alerts are a file of the chart and have their own test: here stands only that they are there.
chart_without_rules() { awk '/^---/ { skip = 0 } !skip { print } /^      rules:$/ { skip = 1 }' "$1"; }

# The default is kept as a whole, the others as what they change in it.
chart_golden() { # chart_golden NAME
  local golden=$CHART_TESTS/golden/$1.diff now=$WORK/chart/$1.diff
  if [ "$1" = default ]; then
    golden=$CHART_TESTS/golden/default.yaml now=$WORK/chart/default.yaml
  else
    chart_without_rules "$WORK/chart/$1.yaml" >"$now.whole"
    diff -U1 --label default --label "$1" "$WORK/chart/default.yaml" "$now.whole" | sed 's/^@@ .*/@@/' >"$now"
  fi
  [ "${TUNDRA_GOLDEN:-}" != write ] || cp "$now" "$golden"
  diff -u "$golden" "$now"
}

chart_refused() { # chart_refused ARGUMENTS TEXT
  local args said
  read -ra args <<<"$1"
  if said=$(chart_helm template tundra "$CHART" -n tundra "${args[@]}" 2>&1); then
    echo "accepted"
    return 1
  fi
  grep -qF -- "$2" <<<"$said" || {
    echo "no \"$2\" in: $said"
    return 1
  }
}

chart_alerts() {
  cp "$CHART/files/alerts.yaml" "$CHART_TESTS/alerts_test.yaml" "$WORK/chart" || return
  promtool check rules "$WORK/chart/alerts.yaml" && promtool test rules "$WORK/chart/alerts_test.yaml" &&
    python3 "$CHART_TESTS/check.py" alerts "$CHART/files/alerts.yaml" "$TOP/test/wire/metrics.txt" "$CHART_TESTS/alerts_test.yaml"
}

run_chart() {
  local file name arguments text
  mkdir -p "$WORK/chart"
  chart_verdict "helm lint" chart_helm lint --strict -n tundra "$CHART"
  for file in "$CHART_TESTS"/values/default.yaml "$CHART_TESTS"/values/*.yaml; do
    name=$(basename "$file" .yaml)
    [ ! -e "$WORK/chart/$name.yaml" ] || continue
    chart_verdict "$name: rendered" chart_render "$name"
    chart_verdict "$name: what must hold" python3 "$CHART_TESTS/check.py" manifests "$WORK/chart/$name.yaml" \
      "$TOP/tools/tundra/node_options.c" "$BIN/tundra"
    chart_verdict "$name: golden" chart_golden "$name"
  done
  while IFS='|' read -r arguments text; do
    chart_verdict "refused: ${arguments% }" chart_refused "$arguments" "${text# }"
  done < <(grep -v '^#' "$CHART_TESTS/refused.txt")
  chart_verdict "gates" python3 "$CHART_TESTS/check.py" gates "$CHART/templates/_helpers.tpl" "$TOP/tools/tundra/node_options.c"
  chart_verdict "alerts" chart_alerts
}
