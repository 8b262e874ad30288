"""WordNet's definitions as texts: one for each sense, duplicates removed, in a fixed order."""

import hashlib
import pathlib

FOLDER = pathlib.Path("/usr/share/wordnet")


def definitions():
    """Sorted by a hash, so that any prefix is a fair sample. The usage examples behind a definition are left out."""
    found = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (FOLDER / f"data.{part}").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("  ") or " | " not in line:
                continue
            text = line.split(" | ", 1)[1].split('; "', 1)[0].strip()
            if text:
                found.add(text)
    return sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
