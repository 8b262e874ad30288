#!/usr/bin/env python3
"""Runs clang-tidy on some files of a build, several at a time, and remembers which were clean: a file is looked at again
only when it, a header it includes, its flags or the checks have changed.

usage: tidy.py --build DIR --cache DIR [--jobs N] FILE…

Prints each finding once, however many files include the header it is in. Exit status 1 when there was any.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

FINDING = re.compile(r"^(\S.*?:\d+:\d+): (error|warning): ")


def commands(build):
    """The compile command of every file, by its path with links resolved."""
    entries = json.loads((build / "compile_commands.json").read_text())
    return {os.path.realpath(os.path.join(entry["directory"], entry["file"])): entry for entry in entries}


def fingerprint(entry, checks):
    """A digest of everything the result depends on, or None when the file cannot be preprocessed."""
    words = shlex.split(entry["command"])
    compiler = next(i for i, word in enumerate(words) if not word.endswith("ccache"))
    flags = [w for w in words[compiler + 1:] if not w.startswith(("-W", "-g"))]
    out = flags.index("-o")
    del flags[out:out + 2]
    flags.remove("-c")
    done = subprocess.run(["clang++", "-E", "-P", *flags], cwd=entry["directory"], capture_output=True, check=False)
    if done.returncode != 0:
        return None
    # Findings carry line numbers and comments may hold NOLINT, so the file's own text counts as it is.
    own = pathlib.Path(entry["directory"], entry["file"]).read_bytes()
    return hashlib.sha256(b"\0".join([checks, " ".join(flags).encode(), own, done.stdout])).hexdigest()


def findings(output):
    """The blocks of clang-tidy's output, keyed by the line that names the place and the check."""
    blocks, block = {}, None
    for line in output.splitlines():
        if FINDING.match(line):
            block = blocks.setdefault(line, [])
        if block is not None:
            block.append(line)
    return blocks


def look_at(path, entry, build, cache, checks):
    """Returns (findings by place, error text)."""
    stamp = cache / (fingerprint(entry, checks) or "none")
    if stamp.name != "none" and stamp.exists():
        return {}, ""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), path], capture_output=True, text=True, check=False)
    found = findings(done.stdout)
    if done.returncode != 0 and not found:
        return {}, f"clang-tidy failed on {path}:\n{done.stdout}{done.stderr}"
    if not found and stamp.name != "none":
        stamp.touch()
    return found, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    checks = pathlib.Path(".clang-tidy").read_bytes() + version

    known = commands(args.build)
    wanted = [path for path in map(os.path.realpath, args.files) if path in known]
    seen, failed, start, shown = set(), False, time.monotonic(), 0.0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pending = [pool.submit(look_at, path, known[path], args.build, args.cache, checks) for path in wanted]
        for done, future in enumerate(concurrent.futures.as_completed(pending), 1):
            found, error = future.result()
            if error:
                failed = True
                print(error, file=sys.stderr)
            for place, block in found.items():
                if place not in seen:
                    seen.add(place)
                    print("\n".join(block), flush=True)
            elapsed = time.monotonic() - start
            if elapsed - shown > 30 and done < len(wanted):
                shown = elapsed
                print(f"{done} of {len(wanted)} files, about {elapsed / done * (len(wanted) - done):.0f} s left",
                      file=sys.stderr)
    return 1 if failed or seen else 0


if __name__ == "__main__":
    sys.exit(main())
