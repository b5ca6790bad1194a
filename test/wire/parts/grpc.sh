# shellcheck shell=bash
# grpc-go, in the releases that kubelets carry, against our server; then our client against grpc-go's server.

# The oldest in a supported kubelet (1.32), the one of 1.36, the newest.
GRPC_VERSIONS=(1.65.0 1.79.3 1.85.0)

grpc_program() {
  local key
  key=$(cat "$TOP"/test/wire/go/*.go "$TOP/test/wire/go/grpc-$1.mod" | sha256sum | cut -c1-12)
  printf '%s/wire/grpc-go-%s-%s\n' "$TUNDRA_CACHE" "$1" "$key"
}

prepare_grpc() {
  local v
  for v in "${GRPC_VERSIONS[@]}"; do
    need_go_program "$(grpc_program "$v")" "grpc-go $v" "$TOP/test/wire/go" "-modfile=grpc-$v.mod" .
  done
}

# The last test of the client wants the server to be told to end; it says when.
run_grpc_version() {
  local v=$1 server line rc=0
  start "server-$v" "$BIN/wire_server" --unix "$WORK/$v.sock" || return
  server=$PID
  timeout 120 "$(grpc_program "$v")" client "$WORK/$v.sock" 2>&1 | while IFS= read -r line; do
    echo "$line"
    if [ "$line" = "# now SIGTERM" ]; then kill -TERM "$server"; fi
  done
  wait "$server" || rc=$?
  if [ "$rc" -eq 0 ] && [ ! -e "$WORK/$v.sock" ]; then
    ok "grpc-go $v: the server ended in order and took its socket along"
  else
    fail "grpc-go $v: the server's end: status $rc"
    tail -n 30 "$WORK/server-$v.err"
  fi
}

run_grpc() {
  local v
  for v in "${GRPC_VERSIONS[@]}"; do run_grpc_version "$v"; done
  for v in "${GRPC_VERSIONS[@]}"; do
    start "go-$v" "$(grpc_program "$v")" server "$WORK/go-$v.sock" || return
    timeout 60 "$BIN/wire_client" "$WORK/go-$v.sock" 2>&1 | sed "s/^\(ok\|FAIL\) grpc client:/\1 our client, grpc-go $v server:/"
    stop "$PID" || fail "grpc-go $v server: status $?"
  done
}
