#!/usr/bin/env python3
"""mkoci.py OUT.tar IMAGE ROOT [COMMAND...]: packs the folder ROOT as a one-layer OCI archive.

For test images that need no build of their own; `ctr images import` and `buildah pull oci-archive:` read it. The same folder gives
the same bytes: times and owners are left out, entries are sorted.
"""

import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def layer_of(root):
    def plain(info):
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = 0
        return info

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder, names, files in os.walk(root):
            names.sort()
            # os.walk lists a link to a folder among the folders but does not go down: both kinds are added here.
            for name in sorted(files + names):
                path = os.path.join(folder, name)
                tar.add(path, arcname=os.path.relpath(path, root), recursive=False, filter=plain)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def descriptor(kind, data, **more):
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": digest(data), "size": len(data), **more}


def encode(value):
    return json.dumps(value, sort_keys=True).encode()


def main(out, image, root, *command):
    layer = layer_of(root)
    config = encode({
        "architecture": ARCHITECTURE[platform.machine()],
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    })
    manifest = encode({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", layer)],
    })
    names = {"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image.rpartition(":")[2]}
    index = encode({"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", manifest, annotations=names)]})
    part = out + ".part"
    with tarfile.open(part, "w") as tar:
        def put(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        put("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        put("index.json", index)
        for blob in (manifest, config, layer):
            put("blobs/sha256/" + digest(blob).partition(":")[2], blob)
    os.replace(part, out)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__.splitlines()[0])
    main(*sys.argv[1:])
