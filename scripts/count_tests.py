#!/usr/bin/env python3
"""Adds up JUnit reports and prints "N passed, N failed" (", N skipped" when any were). Exit status 1 when one failed or
nothing ran.

usage: count_tests.py REPORT.xml…
"""

import sys
import xml.etree.ElementTree as ElementTree


def count(paths):
    passed = failed = skipped = 0
    for path in paths:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


def main():
    passed, failed, skipped = count(sys.argv[1:])
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
