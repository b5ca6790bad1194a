# shellcheck shell=bash
# need_arm64: compiler, emulator and sysroot of the presets arm64 and release-arm64; sets TUNDRA_SYSROOT. Sourced after step.sh.

# cannot_arm64: why this machine cannot have them; fails where it can.
cannot_arm64() {
  if [ "$(dpkg --print-architecture)" != amd64 ]; then
    echo "the cross compiler and the emulator are set up for amd64"
  elif [ ! -d "$(arm64_sysroot)" ] && [ "$(id -u)" -ne 0 ]; then
    echo "needs root once: debootstrap unpacks Debian's arm64 libraries"
  else
    return 1
  fi
}

arm64_sysroot() { echo "$TUNDRA_CACHE/arm64-$(sha256sum "$TOP/tools/lib/arm64-sysroot.sh" | head -c 12)"; }

need_arm64() {
  need_packages debootstrap gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
  TUNDRA_SYSROOT=$(arm64_sysroot)
  export TUNDRA_SYSROOT
  [ -d "$TUNDRA_SYSROOT" ] || step "Debian 12 headers and libraries for arm64 (once)" "$TOP/tools/lib/arm64-sysroot.sh" "$TUNDRA_SYSROOT"
}
