#!/usr/bin/env bash
# arm64-sysroot.sh FOLDER: what a cross build for arm64 needs of Debian 12: headers and libraries of its -dev packages, unpacked, nothing
# of the machine touched. tools/lib/arm64.cmake builds with it; qemu-user runs the result with it.
set -euo pipefail

out=$(realpath -m "$1")
part=$out.part
packages=libc6-dev,libevent-dev,libnghttp2-dev,libssl-dev,libprotobuf-c-dev,libjansson-dev,libyaml-dev,musl-dev,libcmocka-dev
rm -rf "$part"
# shellcheck disable=SC2016 # apt expands these
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' 'Origin: Debian' |
  awk '$2 == "main" && $3 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || {
  echo "apt knows no mirror of Debian 12 (bookworm) main: run 'apt-get update' on a Debian 12 machine" >&2
  exit 1
}
# The first half only, which runs nothing: the second would need an emulated root.
timeout 900 debootstrap --foreign --arch=arm64 --variant=minbase --include="$packages" bookworm "$part" "$mirror"
for deb in "$part"/var/cache/apt/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$part"
done
rm -rf "${part:?}"/{var,debootstrap,usr/share,usr/sbin,etc}
# musl's compiler wrapper is for the machine it came from: the same, for this one and with the paths that it will have.
sed "s,/usr/\(lib\|include\)/aarch64-linux-musl,$out&,g" "$part/usr/lib/aarch64-linux-musl/musl-gcc.specs" >"$part/musl-gcc.specs"
printf '#!/bin/sh\nexec aarch64-linux-gnu-gcc "$@" -specs %s/musl-gcc.specs\n' "$out" >"$part/usr/bin/aarch64-musl-gcc"
chmod +x "$part/usr/bin/aarch64-musl-gcc"
rm -rf "$out"
mv -T "$part" "$out"
