#!/usr/bin/env python3
"""The table of test/bench/run: each figure beside its floor, its budget and what upstream's driver needs.

Figures come as lines "name value" from tundra-bench and run; what they mean stands here, in ROWS.
"""
import argparse
import datetime
import json
import os
import platform

# What NVIDIA's driver (Go) needs on a machine of this kind, measured once. It is told beside ours, never judged.
UPSTREAM = {
    "pss": "55 MB", "first slice": "1.05 s", "prepare": "8.6 ms", "busy": "144 ms with 256 claims", "rate": "11/s",
    "many": "lock time-outs at 128", "cpu": "6.8 s", "bytes": "16 to 368 kB", "restart": "9.7 s", "switches": "7.6/s",
}


def num(value, unit=""):
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text + (" " + unit if unit else "")


class Row:
    """One line. floor, budget: functions of the figures; more: the figure must reach its budget instead of staying below."""

    def __init__(self, label, name, unit, floor=None, budget=None, budget_text=None, more=False, upstream=""):
        self.label, self.name, self.unit, self.floor = label, name, unit, floor
        self.budget, self.budget_text, self.more, self.upstream = budget, budget_text, more, upstream

    def cells(self, f, before):
        value = f.get(self.name)
        if value is None:
            return None
        floor = limit = None
        try:
            floor = self.floor(f) if self.floor else None
            limit = self.budget(f) if self.budget else None
        except KeyError:
            pass
        met = None if limit is None else value >= limit if self.more else value <= limit
        return {
            "figure": self.label,
            "tundra": num(value, self.unit),
            "floor": "" if floor is None else num(floor, self.unit),
            "ratio": f"{value / floor:.2f}" if floor else "",
            "budget": self.budget_text or ("" if limit is None else num(limit, self.unit)),
            "met": "" if met is None else "yes" if met else "NO",
            "upstream": self.upstream,
            "before": num(before[self.name], self.unit) if self.name in before else "",
        }


def fixed(v):
    return lambda f: v


def key(name):
    return lambda f: f[name]


def prepare_rows(live, text, upstream):
    floor = lambda f: f[f"floor.get.p50_ms.{live}"] + f[f"floor.sync.p50_ms.{live}"]
    tail = lambda f: f[f"floor.get.p99_ms.{live}"] + f[f"floor.sync.p99_ms.{live}"]
    return [
        Row(f"prepare p50, {text} claims live", f"prepare.p50_ms.{live}", "ms", floor, lambda f: floor(f) + 0.3, None, False, upstream),
        Row(f"prepare p99, {text} claims live", f"prepare.p99_ms.{live}", "ms", tail),
        Row(f"unprepare p50, {text} claims live", f"unprepare.p50_ms.{live}", "ms", key(f"floor.sync.p50_ms.{live}")),
        Row(f"unprepare p99, {text} claims live", f"unprepare.p99_ms.{live}", "ms", key(f"floor.sync.p99_ms.{live}")),
        Row(f"CPU per 1000 prepare+unprepare, {text} claims live", f"cpu_s_per_1000.{live}", "s", key(f"floor.cpu_s_per_1000.{live}")),
    ]


ROWS = [
    Row("memory (PSS, all processes), idle", "pss_mb.0", "MB", key("floor.pss_mb"), fixed(8), None, False, UPSTREAM["pss"]),
    Row("memory with 1000 prepared claims", "pss_mb.1000", "MB", key("floor.pss_mb"), fixed(10)),
    Row("memory with 10 000 prepared claims", "pss_mb.10000", "MB", key("floor.pss_mb")),
    Row("size of tundra, stripped", "size_mb.tundra", "MB", None, fixed(1.5)),
    Row("size of tundra-worker", "size_mb.tundra-worker", "MB", None, fixed(0.5)),
    Row("size of tundra-cdi-hook", "size_mb.tundra-cdi-hook", "MB", None, fixed(0.2)),
    Row("size of the image's archive", "image_mb", "MB"),
    Row("start to sockets listening", "start.sockets_ms", "ms", key("floor.exec_ms"), fixed(50)),
    Row("start to slices visible, registered at once", "start.visible_ms", "ms", None, None, None, False, UPSTREAM["first slice"]),
    Row("registered to slices visible", "registered.visible_ms", "ms", key("floor.post_to_visible_ms"), fixed(30)),
    *prepare_rows(0, "no", UPSTREAM["prepare"]),
    *prepare_rows(1000, "1000", UPSTREAM["busy"]),
    *prepare_rows(10000, "10 000", ""),
    Row("prepares per second, 64 in flight", "prepare_per_s.64", "/s", key("floor.get_per_s.64"), lambda f: 0.8 * f["floor.get_per_s.64"],
        None, True, UPSTREAM["rate"]),
    Row("unprepares per second, 64 in flight", "unprepare_per_s.64", "/s"),
    Row("prepare p50, 64 in flight", "prepare.p50_ms.in_flight_64", "ms"),
    Row("prepare p99, 64 in flight", "prepare.p99_ms.in_flight_64", "ms"),
    Row("CPU per 1000 prepare+unprepare, 64 in flight", "cpu_s_per_1000.in_flight_64", "s", None, fixed(0.3), None, False, UPSTREAM["cpu"]),
    Row("prepares per second, 256 in flight", "prepare_per_s.256", "/s"),
    Row("errors at 256 in flight", "errors.in_flight_256", "", None, fixed(0), "none", False, UPSTREAM["many"]),
    Row("errors of all calls", "errors", "", None, fixed(0), "none"),
    Row("ledger per prepare", "ledger_bytes", "B", None, fixed(1000)),
    Row("CDI file of a prepare (in memory)", "cdi_bytes", "B"),
    Row("written to the disk per prepare", "write_bytes", "B", None, None, None, False, UPSTREAM["bytes"]),
    Row("API requests per prepare", "api_requests", "", None, fixed(1), "1 GET"),
    Row("killed with 1000 claims: 256 answer again after", "restart.answers_ms", "ms", None, None, None, False, UPSTREAM["restart"]),
    Row("killed with 1000 claims: the first is answered after", "restart.first_ms", "ms", None, fixed(60)),
    Row("... all answered again, per second, 64 in flight", "restart.again_per_s", "/s", key("floor.restart_get_per_s"),
        lambda f: 0.8 * f["floor.restart_get_per_s"], None, True),
    Row("slowest call during a compaction of the ledger", "compaction.call_max_ms", "ms", key("floor.compaction_p50_ms"),
        lambda f: f["floor.compaction_p50_ms"] + 5),
    Row("... without one", "floor.compaction_max_ms", "ms"),
    Row("turns of the loop above 5 ms, of 1000", "loop.slow_of_1000", "", None, fixed(1)),
    Row("... for lack of a processor", "loop.preempted_of_1000", ""),
    Row("longest turn of the loop", "loop.longest_ms", "ms"),
    Row("at rest: context switches", "idle.switches_per_s", "/s", None, fixed(0.5), None, False, UPSTREAM["switches"]),
    Row("at rest: CPU per minute", "idle.cpu_ms_per_min", "ms", None, fixed(1)),
    Row("start to slices visible with the real kubelet", "idle.start_to_slice_ms", "ms"),
]
COLUMNS = ["figure", "tundra", "floor", "ratio", "budget", "met", "upstream", "before"]


def read_figures(path):
    with open(path, encoding="ascii") as f:
        return {name: float(value) for name, value in (line.split() for line in f if line.strip())}


def machine():
    cpu = "?"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release()}


def last_of(path, here):
    """Figures of the last run on such a machine: others say nothing about this one."""
    found = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                run = json.loads(line)
                if run["machine"]["cpu"] == here["cpu"] and run["machine"]["cores"] == here["cores"]:
                    found = run["figures"]
    return found


def keep(path, run):
    if not path:
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "a", encoding="utf-8") as f:
        f.write(json.dumps(run, sort_keys=True) + "\n")


def print_text(rows):
    widths = {c: max(len(c), *(len(r[c]) for r in rows)) for c in COLUMNS}
    for r in [{c: c for c in COLUMNS}, *rows]:
        print("  ".join(r[c].ljust(widths[c]) if c in ("figure", "upstream") else r[c].rjust(widths[c]) for c in COLUMNS).rstrip())


def print_markdown(rows):
    columns = COLUMNS[:-1]
    print("| " + " | ".join(columns) + " |")
    print("|" + "|".join("---" if c in ("figure", "upstream") else "---:" for c in columns) + "|")
    for r in rows:
        print("| " + " | ".join("**NO**" if r[c] == "NO" else r[c] for c in columns) + " |")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--figures", required=True)
    p.add_argument("--history", default="", help="file of one JSON object per run; empty: none")
    p.add_argument("--commit", default="")
    p.add_argument("--kubernetes", default="")
    p.add_argument("--markdown", action="store_true")
    a = p.parse_args()
    figures, here = read_figures(a.figures), machine()
    before = last_of(a.history, here)
    rows = [c for c in (r.cells(figures, before) for r in ROWS) if c]
    keep(a.history, {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": a.commit, "kubernetes": a.kubernetes, "machine": here, "figures": figures,
    })
    (print_markdown if a.markdown else print_text)(rows)
    missed = [r["figure"] for r in rows if r["met"] == "NO"]
    print(f"\n{here['cpu']}, {here['cores']} cores, Linux {here['kernel']}, Kubernetes {a.kubernetes}, commit {a.commit}")
    print(f"{sum(r['met'] == 'yes' for r in rows)} budgets met, {len(missed)} missed" + (": " + "; ".join(missed) if missed else ""))


if __name__ == "__main__":
    main()
