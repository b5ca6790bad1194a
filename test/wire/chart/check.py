#!/usr/bin/env python3
"""check.py manifests RENDERED NODE_OPTIONS TUNDRA   what must hold for the objects of the chart, whatever the values
check.py gates HELPERS NODE_OPTIONS              the chart refuses the gates that the program refuses, and no other
check.py alerts RULES METRICS TESTS              alerts use metrics and labels that exist, say what to do, and each has a test

Prints what is wrong, one line each; the exit status is 1 if there is anything.
"""

import os
import re
import subprocess
import sys

import yaml

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "DeviceClass", "SecurityContextConstraints", "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding"}
# For the container runtime and for NVIDIA's runtime, not for tundra.
FOREIGN_ENV = {"NVIDIA_VISIBLE_DEVICES"}
problems = []


def want(ok, text):
    if not ok:
        problems.append(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def within(part, whole):
    return all(whole.get(k) == v for k, v in part.items())


# --- the manifests ---

def check_names(objects):
    seen = set()
    for o in objects:
        meta, kind = o["metadata"], o["kind"]
        who = f"{kind} {meta['name']}"
        want((kind in CLUSTER_WIDE) != ("namespace" in meta), f"{who}: namespace {meta.get('namespace')}")
        key = (kind, meta.get("namespace"), meta["name"])
        want(key not in seen, f"{who} twice")
        seen.add(key)
        want(len(meta["name"]) <= 63, f"{who}: name too long")
        want("helm.sh/chart" in meta.get("labels", {}), f"{who}: no label of the chart")


def check_update(spec):
    strategy = spec["updateStrategy"]
    if strategy["type"] == "OnDelete":
        want("rollingUpdate" not in strategy, "OnDelete with a rollingUpdate")
        return
    values = [str(strategy["rollingUpdate"][k]) for k in ("maxSurge", "maxUnavailable")]
    want(len([v for v in values if v.rstrip("%") != "0"]) == 1, f"maxSurge, maxUnavailable are {values}: exactly one may be above 0")


def check_mounts(pod, container):
    volumes = [v["name"] for v in pod["volumes"]]
    mounts = [m["name"] for m in container["volumeMounts"]]
    want(sorted(volumes) == sorted(set(volumes)), "a volume twice")
    want(set(volumes) == set(mounts), f"volumes {volumes}, mounts {mounts}")
    paths = [m["mountPath"] for m in container["volumeMounts"]]
    want(len(paths) == len(set(paths)), "a path mounted twice")
    if container["securityContext"].get("readOnlyRootFilesystem"):
        # /run/tundra is where `tundra node` makes its socket.
        want("/run/tundra" in paths, "read-only root, and nothing to write at /run/tundra")
    for m in container["volumeMounts"]:
        if m["mountPath"] == "/host-root":
            want(m.get("readOnly") is True, "/host-root is not read-only")


def check_probes(container):
    ports = {p["name"]: p["containerPort"] for p in container.get("ports", [])}
    want(len(set(ports.values())) == len(ports), f"a port twice: {ports}")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if not probe:
            want(not ports, f"no {kind} although there is a port")
        elif "grpc" in probe:
            want(probe["grpc"]["port"] == ports.get("healthcheck"), f"{kind} asks no port of the container")
        else:
            want(probe["httpGet"]["port"] in ports, f"{kind} asks no port of the container")


def check_program(container, options, tundra):
    """Every variable is one that the program reads, with a value that it takes."""
    known = {name for row in re.findall(r"\.env = \{([^}]*)\}", options) for name in re.findall(r'"(\w+)"', row)}
    env = {}
    for e in container["env"]:
        want(e["name"] not in env, f"env {e['name']} twice")
        env[e["name"]] = str(e.get("value", "given-by-the-kubelet"))
        want(isinstance(e.get("value", ""), str), f"env {e['name']} is no string")
    strange = set(env) - known - FOREIGN_ENV
    want(not strange, f"tundra node reads no {sorted(strange)}")
    want(container["command"] == ["tundra", "node"], f"command {container['command']}")
    run = subprocess.run([tundra, "node", *container.get("args", []), "--version"], env=env, capture_output=True, text=True, check=False)
    want(run.returncode == 0, f"tundra node refuses environment or arguments: {run.stderr.strip()}")


def check_network(objects, labels, container):
    ports = sorted(p["containerPort"] for p in container.get("ports", []))
    for o in objects:
        if o["kind"] != "NetworkPolicy":
            continue
        spec = o["spec"]
        want(within(spec["podSelector"]["matchLabels"], labels), "the NetworkPolicy selects other pods")
        opened = sorted(p["port"] for rule in spec["ingress"] for p in rule["ports"])
        want(opened == ports, f"the NetworkPolicy opens {opened}, the container has {ports}")
        want(spec["egress"] and all(rule["ports"] for rule in spec["egress"]), "the NetworkPolicy lets nothing or everything out")


def check_monitoring(objects, labels, container):
    kinds = {o["kind"]: o for o in objects}
    if "ServiceMonitor" in kinds:
        service, monitor = kinds["Service"], kinds["ServiceMonitor"]
        want(within(service["spec"]["selector"], labels), "the Service selects other pods")
        want(within(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]), "the ServiceMonitor selects another Service")
        want(monitor["spec"]["namespaceSelector"]["matchNames"] == [service["metadata"]["namespace"]], "the ServiceMonitor looks elsewhere")
        endpoint = monitor["spec"]["endpoints"][0]
        want(endpoint["port"] in [p["name"] for p in service["spec"]["ports"]], "the ServiceMonitor asks for a port that the Service lacks")
        want(service["spec"]["ports"][0]["targetPort"] in [p["name"] for p in container["ports"]], "the Service leads to no port")
        path = [e["value"] for e in container["env"] if e["name"] == "METRICS_PATH"]
        want([endpoint["path"]] == path, f"scraped is {endpoint['path']}, served is {path}")
    if "PrometheusRule" in kinds and "Service" in kinds:
        rules = yaml.safe_dump(kinds["PrometheusRule"])
        jobs = set(re.findall(r'job="([^"]*)"', rules))
        want(jobs == {kinds["Service"]["metadata"]["name"]}, f"alerts look at {jobs}")


def check_accounts(objects, pod, namespace):
    name = pod["serviceAccountName"]
    made = [o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"]
    want(made in ([], [name]), f"ServiceAccount {made} is made, {name} is used")
    bindings = [o for o in objects if o["kind"] in ("ClusterRoleBinding", "RoleBinding")]
    want(bindings, "no binding")
    roles = {(o["kind"], o["metadata"]["name"]) for o in objects if o["kind"] in ("ClusterRole", "Role")}
    for b in bindings:
        want(b["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": namespace}], f"{b['kind']} binds {b['subjects']}")
        want((b["roleRef"]["kind"], b["roleRef"]["name"]) in roles, f"{b['kind']} names no role of the chart")
    for o in objects:
        for rule in o.get("rules", []):
            want("*" not in rule["verbs"] + rule["resources"], f"{o['kind']} allows everything")
        if o["kind"] == "ValidatingAdmissionPolicy":
            user = f"system:serviceaccount:{namespace}:{name}"
            want(f'"{user}"' in o["spec"]["matchConditions"][0]["expression"], f"the admission policy is not about {user}")


def check_openshift(objects, pod):
    for o in objects:
        if o["kind"] != "SecurityContextConstraints":
            continue
        kinds = {k for v in pod["volumes"] for k in v if k != "name"} | {"projected"}
        want(kinds <= set(o["volumes"]), f"the SCC lacks volumes {kinds - set(o['volumes'])}")
        want(o["allowPrivilegedContainer"] and o["allowHostDirVolumePlugin"], "the SCC does not admit the pod")
        roles = [r for r in objects if r["kind"] == "Role"]
        want(roles and roles[0]["rules"][0]["resourceNames"] == [o["metadata"]["name"]], "no role to use the SCC")


def manifests(rendered, node_options, tundra):
    objects = [o for o in yaml.safe_load_all(read(rendered)) if o]
    check_names(objects)
    sets = [o for o in objects if o["kind"] == "DaemonSet"]
    want(len(sets) == 1 and any(o["kind"] == "DeviceClass" for o in objects), "no DaemonSet or no DeviceClass")
    spec = sets[0]["spec"]
    labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
    container = pod["containers"][0]
    want(within(spec["selector"]["matchLabels"], labels), "the DaemonSet does not select its own pods")
    check_update(spec)
    check_mounts(pod, container)
    check_probes(container)
    check_program(container, read(node_options), tundra)
    check_network(objects, labels, container)
    check_monitoring(objects, labels, container)
    check_accounts(objects, pod, sets[0]["metadata"]["namespace"])
    check_openshift(objects, pod)


# --- gates and alerts ---

def gates(helpers, node_options):
    listed = set(re.search(r'define "tundra\.absentGates" -\}\}\n(.*)\n', read(helpers)).group(1).split())
    absent = set(re.findall(r'\{ "(\w+)", GATE_\w+, \w+, true \}', read(node_options)))
    want(absent and listed == absent, f"only the chart refuses {sorted(listed - absent)}, only the program {sorted(absent - listed)}")


def alerts(rules, metrics, tests):
    families = {}
    for line in read(metrics).splitlines():
        if line and not line.startswith("#"):
            name, kind, labels = line.split()
            families[name] = set(labels.split(","))
            if kind == "histogram":
                families[name + "_bucket"] = families[name] | {"le"}
    # Prometheus makes these by itself, the chart's ServiceMonitor the node.
    target = {"job", "instance", "namespace", "pod", "node", "container", "endpoint", "service"}
    tested = set(re.findall(r'alertname="(\w+)"', read(tests)))
    for rule in yaml.safe_load(read(rules))["groups"][0]["rules"]:
        name, expr = rule["alert"], rule["expr"]
        used = {m for m in re.findall(r"[a-z_]+", expr) if m.startswith(("tundra_", "nvidia_dra_", "process_")) or m == "up"}
        want(used, f"{name} looks at no metric")
        labels = set(target)
        for m in used - {"up"}:
            want(m in families, f"{name}: no metric {m}")
            labels |= families.get(m, set())
        for label in re.findall(r"(\w+)=~?\"", expr) + re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            want(label in labels, f"{name}: no label {label}")
        want(set(rule["annotations"]) == {"summary", "description", "action"}, f"{name}: annotations {sorted(rule['annotations'])}")
        want(rule["labels"].get("severity") in ("critical", "warning"), f"{name}: no severity")
        want(name in tested, f"{name}: nothing in {os.path.basename(tests)} sees it fire")


if __name__ == "__main__":
    commands = {"manifests": (manifests, 3), "gates": (gates, 2), "alerts": (alerts, 3)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if not command or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    command(*sys.argv[2:])
    print("\n".join(problems))
    sys.exit(bool(problems))
