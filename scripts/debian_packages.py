#!/usr/bin/env python3
"""Writes the Debian packages this machine's apt lists know as JSON lines: one document each.

A line is {"id": name, "text": "name: short description", "section": …, "tags": […], "depends": […], "size_kb": …}.
The lists come from `apt-cache dumpavail`, so the data are real, offline and the same on every machine with the same
lists. A limit keeps programs people use (tag role::program) before libraries and documentation, in a fixed order.

usage: debian_packages.py OUTPUT [LIMIT|all]        (default limit: 5000)
"""

import hashlib
import json
import os
import re
import subprocess
import sys

MIN_PACKAGES = 1000  # fewer means that the lists were never fetched


def records(text):
    """Yields each stanza as a dict of its fields; continuation lines are joined."""
    for stanza in text.split("\n\n"):
        fields = {}
        name = None
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields


def document(fields):
    """The document of one package; None when it has no description."""
    description = fields.get("Description") or fields.get("Description-en") or ""
    if not description:
        return None
    names = (re.split(r"[ (:|]", part.strip(), maxsplit=1)[0] for part in fields.get("Depends", "").split(","))
    return {
        "id": fields["Package"],
        "text": f'{fields["Package"]}: {description}'[:2000],
        "section": fields.get("Section", "misc").split("/")[-1],
        "tags": [tag.strip() for tag in fields.get("Tag", "").split(",") if tag.strip()],
        "depends": sorted({name for name in names if name}),
        "size_kb": int(fields.get("Installed-Size", "0") or 0),
    }


def is_program(doc):
    return "role::program" in doc["tags"] and doc["section"] not in ("doc", "libs", "libdevel", "debug")


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if sys.argv[1:] and sys.argv[1] in ("-h", "--help") else 2
    output = sys.argv[1]
    limit = sys.argv[2] if len(sys.argv) == 3 else "5000"
    dump = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True).stdout.decode("utf-8", "replace")
    found = {}
    for fields in records(dump):
        doc = document(fields)
        if doc:
            found.setdefault(doc["id"], doc)
    if len(found) < MIN_PACKAGES:
        print(f"error: apt's lists name only {len(found)} packages; run `apt-get update` first", file=sys.stderr)
        return 1
    docs = sorted(found.values(), key=lambda d: (not is_program(d), hashlib.sha256(d["id"].encode()).digest()))
    if limit != "all":
        docs = docs[: int(limit)]
    partial = output + ".partial"
    with open(partial, "w", encoding="utf-8") as out:
        for doc in docs:
            out.write(json.dumps(doc, ensure_ascii=False) + "\n")
    os.replace(partial, output)
    print(f"{len(docs)} documents in {output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
