# shellcheck shell=bash
# h2spec, all of it and strict, against the gRPC server: over TCP, over TLS, over the unix socket.

h2spec_program() {
  local v
  v=$(awk '$1 == "github.com/summerwind/h2spec" { print $2 }' "$TOP/test/wire/h2spec/go.mod")
  printf '%s/wire/h2spec-%s\n' "$TUNDRA_CACHE" "${v%+*}"
}

prepare_h2spec() {
  # shellcheck source=test/wire/parts/grpc.sh
  . "$TOP/test/wire/parts/grpc.sh"
  need_go_program "$(h2spec_program)" h2spec "$TOP/test/wire/h2spec" github.com/summerwind/h2spec/cmd/h2spec
  prepare_grpc # its program has the relay
}

h2spec_make_cert() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/key.pem" -out "$WORK/cert.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
}

# Most of its time h2spec waits for silence, so the three run side by side.
run_h2spec() {
  local server relay name last options h2spec pids=()
  h2spec=$(h2spec_program)
  h2spec_make_cert
  start h2 "$BIN/wire_server" --unix "$WORK/h2.sock" --tcp --tls "$WORK/cert.pem" "$WORK/key.pem" || return
  server=$PID
  start relay "$(grpc_program "${GRPC_VERSIONS[1]}")" relay "$WORK/h2.sock" || return
  relay=$PID
  for name in tcp tls unix; do
    options=(-S -h 127.0.0.1)
    case $name in
      tcp) options+=(-p "$(port_of h2 tcp)") ;;
      tls) options+=(-p "$(port_of h2 tls)" -t -k) ;;
      unix) options+=(-p "$(port_of relay tcp)") ;;
    esac
    timeout 100 "$h2spec" "${options[@]}" >"$WORK/h2spec-$name.log" 2>&1 &
    pids+=($!)
  done
  for name in "${pids[@]}"; do wait "$name" || true; done
  for name in tcp tls unix; do
    last=$(tail -n 1 "$WORK/h2spec-$name.log")
    if [ "$last" = "146 tests, 146 passed, 0 skipped, 0 failed" ]; then
      ok "h2spec over $name: $last"
    else
      sed -n '/^Failures/,$p' "$WORK/h2spec-$name.log"
      fail "h2spec over $name: $last"
    fi
  done
  kill -TERM "$relay"
  stop "$server" || fail "h2spec: the server's end: status $?"
}
