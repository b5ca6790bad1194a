# shellcheck shell=bash
# tundra node with claims prepared, as `tools/run` has it: its metrics before promtool, its CDI specs before the CDI library.

# Releases of the CDI library: the last one that carries the JSON schema (containerd 2.0 has it), and the newest.
CDI_VERSIONS=(0.8.1 1.1.0)

cdi_program() {
  local key
  key=$(cat "$TOP"/test/wire/cdi/*.go "$TOP/test/wire/cdi/cdi-$1.mod" | sha256sum | cut -c1-12)
  printf '%s/wire/cdi-%s-%s\n' "$TUNDRA_CACHE" "$1" "$key"
}

prepare_node() {
  local v tags
  need_packages prometheus curl
  for v in "${CDI_VERSIONS[@]}"; do
    tags=none
    if [ "$v" = 0.8.1 ]; then tags=schema; fi
    need_go_program "$(cdi_program "$v")" "CDI library $v" "$TOP/test/wire/cdi" -tags "$tags" "-modfile=cdi-$v.mod" .
  done
}

# Device nodes need root and a machine that allows mknod; elsewhere each is a link to a device that everybody has.
node_gpus() {
  local args=(make --profile h100 --count 8 --root "$WORK/gpus")
  if [ "$(id -u)" -eq 0 ] && mknod "$WORK/probe" c 1 3 2>/dev/null; then
    rm "$WORK/probe"
    "$TOP/tools/fakegpu" "${args[@]}" --mknod
  else
    "$TOP/tools/fakegpu" "${args[@]}"
    find "$WORK/gpus/dev" -type f -exec ln -sf /dev/null {} \;
  fi
}

node_free_port() {
  local port
  for port in $(seq 9500 9599); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s' "$port"
      return
    fi
  done
  return 1
}

# node_start PORT: sets DEV and NODE_PID; returns when the pods run, one claim of them given back.
node_start() {
  local node=$WORK/n
  "$BIN/tundra-dev" demo --dir "$WORK" --node n </dev/null >"$WORK/dev.out" 2>&1 &
  DEV=$!
  PIDS+=("$DEV")
  wait_until 10 test -e "$WORK/kubeconfig" || return
  "$BIN/tundra" node --node-name n --kubeconfig "$WORK/kubeconfig" \
    --kubelet-plugins-directory-path "$node/plugins" --kubelet-registrar-directory-path "$node/plugins_registry" \
    --cdi-root "$node/cdi" --run-directory "$node/run" \
    --container-driver-root "$WORK/gpus" --nvidia-driver-root "$WORK/gpus" \
    --dev-root "$WORK/gpus/dev" --proc-root "$WORK/gpus/proc" --sys-root "$WORK/gpus/sys" \
    --http-endpoint "127.0.0.1:$1" </dev/null >"$WORK/node.log" 2>&1 &
  NODE_PID=$!
  PIDS+=("$NODE_PID")
  wait_until 30 grep -q '^The pods stay' "$WORK/dev.out"
}

# Per claim that is prepared now: name, devices, CDI ids. Devices as the scheduler gave them, ids as the kubelet was told; for
# the one prepared after the demo's table, its UID is in the log.
node_claims() {
  awk '
    FILENAME ~ /node.log$/ {
      if (!/operation=prepare/) next
      for (i = 1; i <= NF; i++) { split($i, kv, "="); if (kv[1] == "claim") name = kv[2]; if (kv[1] == "uid") uid[name] = kv[2] }
      next
    }
    /^  claim / { name = $2; sub(/,$/, "", name) }
    /k8s\.gpu\.nvidia\.com\/claim=/ { ids[name] = ids[name] " " $3; table[name] = table[name] "," $2 }
    match($0, /claim default\/[^ ]* is /) {
      name = substr($0, RSTART + 14, RLENGTH - 18)
      if (/ is deallocated/) delete devices[name]
      else { list = $0; sub(/.*is allocated: /, "", list); gsub(/ /, "", list); devices[name] = list }
    }
    END {
      for (name in devices) {
        if (name in ids && table[name] != "," devices[name]) print "the kubelet was told" table[name] "of" devices[name]
        if (!(name in ids)) {
          n = split(devices[name], d, ",")
          for (i = 1; i <= n; i++) ids[name] = ids[name] " k8s.gpu.nvidia.com/claim=" uid[name] "-" d[i]
        }
        shown = name
        sub(/-gpu-[a-z0-9]+$/, "", shown) # what a template adds differs from run to run
        print shown, devices[name] ids[name]
      }
    }' "$WORK/node.log" "$WORK/dev.out" | sort
}

# "name kind labels" of each family, as test/wire/metrics.txt has them. `le` belongs to the format.
node_families() {
  awk '
    $1 == "#" { if ($2 == "TYPE") { n++; name[n] = $3; kind[n] = $4; at = $3 } next }
    {
      labels = ""
      if (match($0, /\{.*\}/)) {
        rest = substr($0, RSTART + 1, RLENGTH - 2)
        while (match(rest, /[a-z_]+="[^"]*"/)) {
          label = substr(rest, RSTART, index(substr(rest, RSTART), "=") - 1)
          if (label != "le") labels = labels "," label
          rest = substr(rest, RSTART + RLENGTH)
        }
      }
      seen[at] = labels == "" ? "-" : substr(labels, 2)
    }
    END { for (i = 1; i <= n; i++) print name[i], kind[i], seen[name[i]] }' "$1" | sort
}

# node_value FAMILY-WITH-LABELS FILE
node_value() { awk -v key="$1" '$1 == key { print $2 }' "$2"; }

node_metrics() {
  local first=$WORK/metrics second=$WORK/metrics.2 name low
  curl -sSf "http://127.0.0.1:$1/metrics" >"$first" || return
  curl -sSf "http://127.0.0.1:$1/metrics" >"$second" || return
  if promtool check metrics <"$first" >"$WORK/promtool" 2>&1 && [ ! -s "$WORK/promtool" ]; then
    ok "metrics: promtool has nothing to say"
  else
    sed 's/^/    /' "$WORK/promtool"
    fail "metrics: promtool complains"
  fi
  node_families "$first" >"$WORK/families"
  grep -v '^#' "$TOP/test/wire/metrics.txt" | sort >"$WORK/wanted"
  if diff -U0 "$WORK/wanted" "$WORK/families" >"$WORK/differ"; then
    ok "metrics: $(wc -l <"$WORK/families") families, names, kinds and labels as promised"
  else
    sed -n 's/^[+-][a-z]/    &/p' "$WORK/differ"
    fail "metrics: families differ from metrics.txt (- promised, + there)"
  fi
  while read -r name low; do
    if [ "$(node_value "$name" "$first" | awk -v low="$low" '{ print ($1 >= low) }')" = 1 ]; then
      ok "metrics: $name is at least $low"
    else
      fail "metrics: $name is $(node_value "$name" "$first"), wanted $low"
    fi
  done <<<'nvidia_dra_requests_total{driver="gpu.nvidia.com",operation="prepare"} 7
nvidia_dra_requests_total{driver="gpu.nvidia.com",operation="unprepare"} 1
nvidia_dra_request_duration_seconds_count{driver="gpu.nvidia.com",operation="prepare"} 7
nvidia_dra_prepared_devices{node="n",driver="gpu.nvidia.com",device_type="gpu"} 15
tundra_publish_writes_total{driver="gpu.nvidia.com",verb="create"} 1
tundra_worker_starts_total{role="nvml"} 1
tundra_loop_turns_total 10
process_resident_memory_bytes 1000000
process_open_fds 10
process_start_time_seconds 1700000000'
  # No counter may go back between two scrapes.
  if awk '$1 == "#" { if ($2 == "TYPE") kind = $4; next }
    kind != "counter" { next }
    FNR == NR { was[$1] = $2; n++; next }
    $2 < was[$1] || !($1 in was) { print $1, was[$1], $2; bad = 1 }
    END { exit bad || !n }' "$first" "$second" >"$WORK/back"; then
    ok "metrics: counters only grow"
  else
    fail "metrics: counters went back: $(cat "$WORK/back")"
  fi
}

node_cdi() {
  local v
  node_claims >"$WORK/claims"
  for v in "${CDI_VERSIONS[@]}"; do
    timeout 30 "$(cdi_program "$v")" "$WORK/n/cdi" "$WORK/gpus" "$BIN/tundra-cdi-hook" <"$WORK/claims" || true
  done
}

run_node() {
  local port
  port=$(node_free_port)
  node_gpus >/dev/null
  if ! node_start "$port"; then
    tail -n 20 "$WORK/dev.out" "$WORK/node.log" | sed 's/^/    /'
    fail "node: no claims were prepared"
    return
  fi
  node_metrics "$port" || fail "metrics: ended early, status $?"
  node_cdi
  stop "$NODE_PID" || fail "node: tundra's end: status $?"
  kill -TERM "$DEV"
}
