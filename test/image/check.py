#!/usr/bin/env python3
"""check.py unpack ARCHIVE FOLDER        the image's layers, laid over each other; prints the diff ids, base first
check.py size ARCHIVE LIMIT           the bytes of all layers, unpacked, are below LIMIT
check.py contents FOLDER MAIN_C       programs, names and nothing else that can be run
check.py sbom FOLDER                  the bill of materials names every package and the very programs

Prints what is wrong; the exit status is 1 if there is anything.
"""

import gzip
import hashlib
import io
import json
import os
import re
import stat
import sys
import tarfile

PROGRAMS = ["tundra", "tundra-worker", "tundra-cdi-hook"]
# What NVIDIA's chart calls beside the programs.
FOR_UPSTREAM = ["bash", "kubelet-plugin-prestart.sh"]
problems = []


def want(ok, text):
    if not ok:
        problems.append(text)


def blob(tar, digest):
    return tar.extractfile("blobs/" + digest.replace(":", "/")).read()


def layers(archive):
    """(diff id, bytes of the tar) of each layer, base first."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(blob(tar, json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]))
        config = json.loads(blob(tar, manifest["config"]["digest"]))
        for layer, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
            data = blob(tar, layer["digest"])
            if layer["mediaType"].endswith("gzip"):
                data = gzip.decompress(data)
            if "sha256:" + hashlib.sha256(data).hexdigest() != diff:
                sys.exit(f"layer {diff} is broken")
            yield diff, data


def unpack(archive, folder):
    for diff, data in layers(archive):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(folder)
        print(diff)


def size(archive, limit):
    total = sum(len(data) for _, data in layers(archive))
    print(f"{total / 1e6:.1f} MB")
    want(total < int(limit), f"the layers are {total} bytes, {limit} are allowed")


def contents(folder, main_c):
    with open(main_c, encoding="utf-8") as f:
        names = re.findall(r'^\t\{ "[\w-]+", "([\w-]+)",', f.read(), re.M)
    want(names, f"no name of upstream's in {main_c}")
    there = sorted(os.listdir(folder + "/usr/bin"))
    wanted = sorted(PROGRAMS + FOR_UPSTREAM + names)
    want(there == wanted, f"/usr/bin has {there}, wanted {wanted}")
    for name in names:
        path = f"{folder}/usr/bin/{name}"
        want(os.path.islink(path) and os.readlink(path) == "tundra", f"{name} is no link to tundra")
    for top, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(top, name)
            info = os.lstat(path)
            inside = path[len(folder):]
            want(not info.st_mode & (stat.S_ISUID | stat.S_ISGID), f"{inside} is set-user-ID")
            want(not info.st_mode & stat.S_IWOTH or stat.S_ISLNK(info.st_mode), f"{inside} can be written by everybody")
            if stat.S_ISREG(info.st_mode) and info.st_mode & 0o111:
                want(inside.startswith("/usr/bin/") or "/ld-linux" in inside or ".so" in inside, f"{inside} can be run")


def sbom(folder):
    with open(folder + "/usr/share/sbom/tundra.spdx.json", encoding="utf-8") as f:
        document = json.load(f)
    packages = {p["name"]: p["versionInfo"] for p in document["packages"]}
    status = folder + "/var/lib/dpkg/status.d"
    for name in os.listdir(status):
        with open(f"{status}/{name}", encoding="utf-8") as f:
            version = re.search(r"^Version: (.*)$", f.read(), re.M).group(1)
        want(packages.get(name) == version, f"{name} {version} is in the image, {packages.get(name)} in the list")
    static = [r["relatedSpdxElement"] for r in document["relationships"] if r["relationshipType"] == "STATIC_LINK"]
    for word in ("libevent", "libnghttp2", "libjansson", "libprotobuf-c", "libyaml", "musl"):
        want([s for s in static if word in s], f"{word} is linked in and not in the list")
    hashes = {f["fileName"]: c["checksumValue"] for f in document["files"] for c in f["checksums"] if c["algorithm"] == "SHA256"}
    for name in PROGRAMS:
        with open(f"{folder}/usr/bin/{name}", "rb") as f:
            want(hashes.get(f"./usr/bin/{name}") == hashlib.sha256(f.read()).hexdigest(), f"{name} is another than the list says")


if __name__ == "__main__":
    commands = {"unpack": (unpack, 2), "size": (size, 2), "contents": (contents, 2), "sbom": (sbom, 1)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if not command or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    command(*sys.argv[2:])
    if problems:
        sys.exit("\n".join(problems))
