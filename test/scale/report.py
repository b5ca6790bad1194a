#!/usr/bin/env python3
"""The table of test/scale/run: each figure with its budget, and what the API server wrote down about requests.

Requests come from the trace of tundra-dev or from the audit log of the real API server, the figures as lines "name value".
"""
import argparse
import collections
import datetime
import json
import math
import re
import urllib.parse


# tundra-scale's own list and watch of all slices, test/scale/slices.h; in an audit log they have another user agent.
MARK = "labelSelector=%21tundra-scale"


def trace(path, began_wall):
    """(seconds since the epoch, verb, path with query) of tundra-dev's requests."""
    line = re.compile(r"^ *(\d+\.\d\d) s  api +(\d+) (\w+) (\S+)$")
    with open(path, encoding="utf-8") as f:
        for text in f:
            m = line.match(text)
            if m and MARK not in m[4]:
                yield began_wall + float(m[1]), m[3], m[4]


def audit(path):
    """The same of the drivers' requests in an audit log: those about resource.k8s.io, all that its policy writes down."""
    with open(path, encoding="utf-8") as f:
        for text in f:
            if '"userAgent":"tundra/' not in text:
                continue
            event = json.loads(text)
            # A watch is told when it begins and again when it ends.
            if event["verb"] == "watch" and event["stage"] == "ResponseComplete":
                continue
            at = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))
            yield at.timestamp(), event["verb"], event["requestURI"]


def own_node(path):
    """The node that a list or watch is limited to by its field selector, or None."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    m = re.search(r"(?:^|,)spec\.nodeName=([^,]+)", query.get("fieldSelector", [""])[0])
    return m[1] if m else None


def peak(times, width=1.0):
    """The most within any `width` seconds."""
    times = sorted(times)
    best = first = 0
    for i, t in enumerate(times):
        while t - times[first] >= width:
            first += 1
        best = max(best, i - first + 1)
    return best


def herd(requests, nodes, began, away, back):
    """Figures about requests: how many a start costs, what comes at the return, and whether each looks at its own node only."""
    at_start = [r for r in requests if began <= r[0] < away]
    at_return = [r for r in requests if r[0] >= back]
    watches = [(t, own_node(p)) for t, verb, p in at_return if verb == "watch"]
    first = {}
    for t, node in watches:
        if node:
            first.setdefault(node, t)
    # What is served (/apis/resource.k8s.io) is no collection.
    collections_asked = [p for _, verb, p in at_start + at_return if verb in ("list", "watch") and "/v1" in p]
    spread = sorted(first.values())
    return {
        "start.requests_each": len(at_start) / nodes,
        "start.peak_per_s": peak([r[0] for r in at_start]),
        "return.nodes": len(first),
        "return.requests_each": len(at_return) / nodes,
        "return.peak_per_s": peak([r[0] for r in at_return]),
        "return.peak_share": peak([r[0] for r in at_return]) / max(len(at_return), 1),
        "return.middle_80_s": spread[len(spread) * 9 // 10] - spread[len(spread) // 10] if spread else 0,
        "return.all_back_s": spread[-1] - back if spread else 0,
        "unfiltered": sum(own_node(p) is None for p in collections_asked),
    }


def peak_share(nodes, _api):
    """A quarter; of few nodes chance puts more into one second."""
    return 0.25 + 2 / math.sqrt(nodes)


# label, figure, unit, budget (a function of the number of nodes), +1 when the figure must reach it and -1 when it must stay below
ROWS = [
    ("all processes started", "start.processes_s", "s", None, 0),
    ("all slices published, from the first start", "start.published_s", "s", lambda n, api: max(30, 0.06 * n), -1),
    ("CPU of a start, each", "start.cpu_ms_each", "ms", None, 0),
    ("requests of a start, each", "start.requests_each", "", lambda n, api: 8, -1),
    ("requests in the busiest second of the start", "start.peak_per_s", "", None, 0),
    ("memory (PSS) of all, at rest", "idle.pss_mb", "MB", lambda n, api: 8.0 * n, -1),
    ("memory of one", "idle.pss_mb_each", "MB", None, 0),
    ("processes", "idle.processes", "", None, 0),
    ("CPU at rest, of a core, all", "idle.cpu_percent", "%", lambda n, api: 5 * max(n, 200) / 200, -1),
    ("voluntary switches a second, each", "idle.voluntary_per_s_each", "", None, 0),
    ("lists and watches of more than one's own node", "unfiltered", "", lambda n, api: 0, -1),
    ("nodes back after the API server was away", "return.nodes", "", lambda n, api: n, 1),
    ("requests at the return, each", "return.requests_each", "", lambda n, api: 4, -1),
    ("of them in the busiest second", "return.peak_share", "", peak_share, -1),
    ("... that is", "return.peak_per_s", "/s", None, 0),
    ("the middle 80 % come back within", "return.middle_80_s", "s", None, 0),
    ("the last is back after", "return.all_back_s", "s", lambda n, api: 25, -1),
    ("memory of all at the end", "end.pss_mb", "MB", lambda n, api: 8.0 * n, -1),
    ("nodes published at the end", "end.nodes_published", "", lambda n, api: n, 1),
]


def main():
    p = argparse.ArgumentParser()
    for name in ("api", "requests", "figures"):
        p.add_argument("--" + name, required=True)
    for name in ("requests-began", "began", "away", "back"):
        p.add_argument("--" + name, type=float, required=True)
    p.add_argument("--nodes", type=int, required=True)
    o = p.parse_args()
    figures = {}
    with open(o.figures, encoding="utf-8") as f:
        for line in f:
            name, value = line.split()
            figures[name] = float(value)
    requests = list(audit(o.requests) if o.api == "real" else trace(o.requests, o.requests_began))
    figures.update(herd(requests, o.nodes, o.began, o.away, o.back))
    passed = failed = 0
    for label, name, unit, budget, sense in ROWS:
        if name not in figures:
            print(f"FAIL {label}: not measured")
            failed += 1
            continue
        value, verdict, limit = figures[name], "    ", ""
        if budget:
            bound = budget(o.nodes, o.api)
            good = value >= bound if sense > 0 else value <= bound
            verdict, limit = ("ok  " if good else "FAIL"), f"  ({'at least' if sense > 0 else 'at most'} {bound:g})"
            passed, failed = passed + good, failed + (not good)
        print(f"{verdict} {label:52} {value:10.4g} {unit}{limit}")
    print(f"{passed} passed, {failed} failed")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
