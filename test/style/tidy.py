#!/usr/bin/env python3
"""clang-tidy over the files of a compile database, two at a time, each once per content.

What was clean is remembered by a hash of the preprocessed file (comments included, since NOLINT is one),
the configuration and the tool, so that a second run looks only at what changed.
usage: tidy.py BUILD_FOLDER CACHE_FOLDER FILE...
"""
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys

TIDY, CLANG = "clang-tidy-14", "clang-14"


def arguments(entry):
    """The compiler's arguments without compiling, output and dependency files."""
    out, skip = [], False
    for arg in shlex.split(entry["command"])[1:]:
        if skip or arg in ("-c", "-MD"):
            skip = False
        elif arg in ("-o", "-MF", "-MT"):
            skip = True
        else:
            out.append(arg)
    return out


def key(entry, seed):
    text = subprocess.run([CLANG, "-E", "-C", *arguments(entry)], cwd=entry["directory"], capture_output=True, check=True).stdout
    return hashlib.sha256(seed + text).hexdigest()


def look(entry, build, cache, seed):
    try:
        stamp = os.path.join(cache, key(entry, seed))
    except subprocess.CalledProcessError as e:
        return f"{entry['file']}: cannot be preprocessed: {e.stderr.decode()[-500:]}"
    if os.path.exists(stamp):
        return ""
    # One file per process: with several the analyzer of clang 14 confuses their va_lists.
    done = subprocess.run([TIDY, "--quiet", "-p", build, entry["file"]], capture_output=True, text=True)
    if done.returncode:
        return done.stdout or done.stderr
    open(stamp, "w").close()
    return ""


def main():
    build, cache, files = sys.argv[1], sys.argv[2], {os.path.abspath(f) for f in sys.argv[3:]}
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(build, "compile_commands.json")) as f:
        entries = {e["file"]: e for e in json.load(f) if e["file"] in files}
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    with open(".clang-tidy", "rb") as f:
        seed = version + f.read()
    missing = sorted(files - entries.keys())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = [s for s in pool.map(lambda e: look(e, build, cache, seed), entries.values()) if s]
    for s in said:
        print(s)
    for f in missing:
        print(f"{f}: not in the compile database")
    return 1 if said or missing else 0


sys.exit(main())
