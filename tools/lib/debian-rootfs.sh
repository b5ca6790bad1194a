#!/usr/bin/env bash
# debian-rootfs.sh OUT.tar: a Debian 12 root file system like the official "slim" image, made from the machine's own mirrors.
# Its checksum is the cache key: change the recipe and the base image is made again.
set -euo pipefail

out=$1
work=$(mktemp -d "$(dirname "$out")/rootfs.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The mirrors that this machine's apt knows for Debian 12: "URI suite component" per line.
# shellcheck disable=SC2016 # apt expands these
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' 'Origin: Debian' |
  awk '$4 ~ /^bookworm/ { print $1, $2, $3 }' | sort -u)
mirror=$(awk '$2 == "bookworm" && $3 == "main" { print $1; exit }' <<<"$sources")
[ -n "$mirror" ] || {
  echo "apt knows no mirror of Debian 12 (bookworm) main: run 'apt-get update' on a Debian 12 machine" >&2
  exit 1
}

timeout 900 debootstrap --variant=minbase bookworm "$work" "$mirror"
awk '{ print "deb", $0 }' <<<"$sources" >"$work/etc/apt/sources.list"
# A proxy that this machine needs is needed by `apt-get` in image builds as well.
apt-config dump Acquire | grep -E '^Acquire::https?::.*[Pp]roxy' >"$work/etc/apt/apt.conf.d/80machine" || rm -f "$work/etc/apt/apt.conf.d/80machine"
printf 'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n' >"$work/etc/apt/apt.conf.d/80image"
# What the slim image leaves out as well.
find "$work/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$work"/usr/share/{man,info,locale,lintian}/* "$work"/var/cache/apt/* "$work"/var/lib/apt/lists/* "$work"/var/log/* "${work:?}"/dev/*
tar --numeric-owner --sort=name -C "$work" -cf "$out.part" .
mv "$out.part" "$out"
