# The image holds three programs and what they link: libc, OpenSSL and the CA bundle. No package manager and no tools: whoever gets into
# the privileged node container finds little to work with. Of shells there is bash alone, because NVIDIA's chart starts its containers by
# it. Look inside with `kubectl exec POD -- tundra status`. What is in it: /usr/share/sbom/tundra.spdx.json (SPDX).
#
#   docker build -t tundra .          compiles everything
#   tools/image product               the same layers around the binaries of build/release/bin, without compiling

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      build-essential cmake ninja-build pkg-config musl-tools protobuf-c-compiler \
      libevent-dev libnghttp2-dev libssl-dev libprotobuf-c-dev libjansson-dev libyaml-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release \
 && cmake --build --preset release \
 && install -D -s -t /out build/release/bin/tundra build/release/bin/tundra-worker build/release/bin/tundra-cdi-hook \
 && tools/image.d/static-libs build/release >/out/static

# A stage of its own so that `--build-context binaries=FOLDER` can take its place; the unused `build` is then skipped.
FROM scratch AS binaries
COPY --from=build /out/ /

# The run-time files of a few packages, unpacked instead of installed. status.d tells vulnerability scanners what they are.
# libm, libdl, libpthread and librt come with libc6: vendor libraries that tundra-worker loads want them.
FROM ${BASE} AS rootfs
RUN set -eu; \
    mkdir -p /rootfs/usr/bin /rootfs/usr/sbin /rootfs/usr/lib /rootfs/usr/lib64 /rootfs/etc/ssl/certs /rootfs/var/lib/dpkg/status.d /debs; \
    mkdir -p /rootfs/dev /rootfs/proc /rootfs/sys /rootfs/run /rootfs/root; \
    mkdir -m 1777 /rootfs/tmp; \
    for d in bin sbin lib lib64; do ln -s "usr/$d" "/rootfs/$d"; done; \
    ln -s /run /rootfs/var/run; \
    echo 'root:x:0:0:root:/root:/usr/sbin/nologin' >/rootfs/etc/passwd; \
    echo 'root:x:0:' >/rootfs/etc/group; \
    apt-get update; \
    cd /debs; \
    apt-get download libc6 libssl3 ca-certificates bash libtinfo6; \
    for deb in *.deb; do \
      dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C /rootfs; \
      dpkg-deb -f "$deb" >"/rootfs/var/lib/dpkg/status.d/${deb%%_*}"; \
    done; \
    cat /rootfs/usr/share/ca-certificates/mozilla/*.crt >/rootfs/etc/ssl/certs/ca-certificates.crt; \
    cp /etc/os-release /rootfs/etc/os-release; \
    cd /rootfs; \
    find usr/share/doc -type f ! -name copyright -delete; \
    find usr/bin -mindepth 1 ! -name bash -delete; \
    rm -rf usr/sbin/* usr/lib/*/gconv usr/lib/*/engines-3 usr/lib/*/libtic.so* usr/lib/bash usr/include usr/lib/pkgconfig usr/lib/*/pkgconfig; \
    rm -rf usr/share/ca-certificates usr/share/locale usr/share/man usr/share/info usr/share/menu usr/share/lintian etc/ca-certificates etc/skel; \
    rm -rf /debs /var/lib/apt/lists/*

# Our layer. The recipe runs in the base image, where there is a shell.
FROM ${BASE} AS ours
ARG VERSION=dev
COPY tools/image.d /recipe
COPY --from=binaries / /programs
COPY --from=rootfs /rootfs/var/lib/dpkg/status.d /status
RUN sh /recipe/assemble /programs /status /ours "${VERSION}"

FROM scratch AS runtime
COPY --from=rootfs /rootfs/ /
COPY --from=ours /ours/ /
# Where NVIDIA's runtime is the default one, NVIDIA_VISIBLE_DEVICES keeps it from adding devices: the chart mounts what is needed.
ENV PATH=/usr/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt NVIDIA_VISIBLE_DEVICES=void
# Last: what changes with each build comes after what does not.
ARG VERSION=dev
LABEL org.opencontainers.image.title="tundra" \
      org.opencontainers.image.description="DRA driver for GPUs on Kubernetes" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/usr/bin/tundra"]
