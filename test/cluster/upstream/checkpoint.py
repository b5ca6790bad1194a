#!/usr/bin/env python3
"""checkpoint.py write  VERSION CLAIMS SLICES BOOT_ID [STARTED_UID]   prints checkpoint.json as NVIDIA's driver leaves it
checkpoint.py check  FILE CLAIMS SLICES BOOT_ID                   that driver would take FILE, and it says of these claims what is so
checkpoint.py spec   DRIVER_ROOT CLAIM MINOR...                    prints the CDI file of a claim, as that driver writes it: YAML

VERSION is v1 (older releases: no claim states, no boot id) or v2 (both). CLAIMS: a list of ResourceClaims as kubectl prints it;
SLICES: likewise. Written from facts/nvidia-upstream.md 4.3 and 5 and nothing of tundra: it must agree without having been asked.
"""

import json
import sys

DRIVER = "gpu.nvidia.com"


def go(value):
    """As Go's encoding/json writes it: no spaces, and <, >, & escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def checksum(value):
    """FNV-1a, 32 bit, over Go's %v of the bytes, which is how Kubernetes' checkpoint manager hashes: "([]uint8)[123 125]"."""
    h = 0x811C9DC5
    for byte in ("([]uint8)[" + " ".join(str(b) for b in go(value).encode()) + "]").encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def device(claim, result, uuids):
    return {
        "devices": [
            {
                "gpu": {
                    "info": {"uuid": uuids[result["device"]]},
                    "device": {
                        "Requests": [result["request"]],
                        "PoolName": result["pool"],
                        "DeviceName": result["device"],
                        "CDIDeviceIDs": [f"k8s.{DRIVER}/claim={claim['metadata']['uid']}-{result['device']}"],
                    },
                },
                "mig": None,
            }
        ],
        "configState": {"mpsControlDaemonID": ""},
    }


def results(claim):
    return [r for r in claim["status"]["allocation"]["devices"]["results"] if r["driver"] == DRIVER]


def status(claim):
    """The members in the order of Go's struct: what kubectl prints is sorted by name."""
    allocation = claim["status"]["allocation"]
    order = ["request", "driver", "pool", "device", "adminAccess"]
    devices = {"results": [{k: r[k] for k in order if k in r} for r in allocation["devices"]["results"]]}
    out = {"allocation": {"devices": devices}}
    if "nodeSelector" in allocation:
        out["allocation"]["nodeSelector"] = allocation["nodeSelector"]
    used = claim["status"].get("reservedFor")
    if used:
        out["reservedFor"] = [{k: u[k] for k in ["apiGroup", "resource", "name", "uid"] if k in u} for u in used]
    return out


def prepared(claim, uuids, state):
    whole = {"checkpointState": "PrepareCompleted"} if state else {}
    # One entry per configuration; without one, all devices of a claim are of the default.
    groups = [device(claim, r, uuids) for r in results(claim)]
    merged = {"devices": [d for g in groups for d in g["devices"]], "configState": groups[0]["configState"]}
    return {**whole, "status": status(claim), "preparedDevices": [merged]}


def seal(v1, v2):
    """v2's own sum, with itself 0; the outer one without v2, with itself 0."""
    whole = {"checksum": checksum({"checksum": 0, "v1": v1}), "v1": v1}
    if v2 is not None:
        whole["v2"] = {"checksum": checksum({"checksum": 0, **v2}), **v2}
    return whole


def write(version, claims, uuids, boot_id, started):
    claims = sorted(claims, key=lambda c: c["metadata"]["uid"].encode())
    v1 = {"preparedClaims": {c["metadata"]["uid"]: prepared(c, uuids, False) for c in claims}} if claims else {}
    if version == "v1":
        return seal(v1, None)
    of = {c["metadata"]["uid"]: prepared(c, uuids, True) for c in claims}
    if started:
        of[started] = {"checkpointState": "PrepareStarted", "status": {}, "name": "begun", "namespace": "gone"}
    return seal(v1, {"preparedClaims": dict(sorted(of.items(), key=lambda i: i[0].encode())), "nodeBootID": boot_id})


def want(ok, text):
    if not ok:
        sys.exit("checkpoint.py: " + text)


def members(value, names, where):
    """Exactly these, in this order: Go decodes into a struct and hashes what it writes anew."""
    want(list(value) == names, f"{where}: members {list(value)}, wanted {names}")


def check_claim(entry, claim, uuids, state):
    uid = claim["metadata"]["uid"]
    members(entry, (["checkpointState"] if state else []) + ["status", "preparedDevices"], uid)
    want(not state or entry["checkpointState"] == "PrepareCompleted", f"{uid}: state {entry.get('checkpointState')}")
    got = {}
    for group in entry["preparedDevices"]:
        members(group, ["devices", "configState"], uid)
        for d in group["devices"]:
            members(d, ["gpu", "mig"], uid)
            want(d["mig"] is None, f"{uid}: a MIG device")
            members(d["gpu"], ["info", "device"], uid)
            members(d["gpu"]["device"], ["Requests", "PoolName", "DeviceName", "CDIDeviceIDs"], uid)
            got[d["gpu"]["device"]["DeviceName"]] = d["gpu"]
    wanted = {r["device"]: device(claim, r, uuids)["devices"][0]["gpu"] for r in results(claim)}
    want(got == wanted, f"{uid}: devices {got}, wanted {wanted}")
    told = [{k: r.get(k) for k in ["request", "driver", "pool", "device"]} for r in entry["status"]["allocation"]["devices"]["results"]]
    truth = [{k: r.get(k) for k in ["request", "driver", "pool", "device"]} for r in results(claim)]
    want(told == truth, f"{uid}: results {told}, wanted {truth}")


def check(path, claims, uuids, boot_id):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    whole = json.loads(text)
    want(text == go(whole), "not spelled as Go spells it")
    members(whole, ["checksum", "v1", "v2"], "the file")
    members(whole["v2"], ["checksum", "preparedClaims", "nodeBootID"], "v2")
    again = seal(whole["v1"], {k: v for k, v in whole["v2"].items() if k != "checksum"})
    want(whole["checksum"] == again["checksum"], f"checksum {whole['checksum']}, computed {again['checksum']}")
    want(whole["v2"]["checksum"] == again["v2"]["checksum"], f"v2.checksum {whole['v2']['checksum']}, computed {again['v2']['checksum']}")
    want(whole["v2"]["nodeBootID"] == boot_id, f"boot id {whole['v2']['nodeBootID']}, wanted {boot_id}")
    of = {c["metadata"]["uid"]: c for c in claims}
    for version in ["v1", "v2"]:
        got = whole[version]["preparedClaims"]
        want(list(got) == sorted(of, key=str.encode), f"{version}: claims {list(got)}, wanted {sorted(of)}")
        for uid, entry in got.items():
            check_claim(entry, of[uid], uuids, version == "v2")


def spec(claim, minors):
    uid = claim["metadata"]["uid"]
    lines = ["cdiVersion: 0.5.0", f"kind: k8s.{DRIVER}/claim", "containerEdits:", "  env:", "  - NVIDIA_VISIBLE_DEVICES=void", "devices:"]
    for result, minor in zip(results(claim), minors, strict=True):
        node = f"/dev/nvidia{minor}"
        lines += [f"- name: {uid}-{result['device']}", "  containerEdits:", "    deviceNodes:", f"    - path: {node}", f"      hostPath: {GPUS}{node}"]
    print("\n".join(lines))


def items(path):
    with open(path, encoding="utf-8") as f:
        value = json.load(f)
    return value.get("items", [value])


GPUS = ""
if len(sys.argv) > 1 and sys.argv[1] == "spec":
    GPUS = sys.argv[2]
    spec(items(sys.argv[3])[0], sys.argv[4:])
    sys.exit(0)
# What the facts give as seen on Kubernetes' own package.
want(checksum({}) == 1558789936 and checksum({"checksum": 0, "v1": {}}) == 1083090442, "this script's checksum is wrong")
CLAIMS, SLICES = items(sys.argv[3]), items(sys.argv[4])
UUIDS = {d["name"]: d["attributes"]["uuid"]["string"] for s in SLICES for d in s["spec"]["devices"]}
if sys.argv[1] == "write":
    sys.stdout.write(go(write(sys.argv[2], CLAIMS, UUIDS, sys.argv[5], sys.argv[6] if len(sys.argv) > 6 else None)))
else:
    check(sys.argv[2], CLAIMS, UUIDS, sys.argv[5])
