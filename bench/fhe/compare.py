"""Runs our side and SEAL's in turns and prints what `make bench` wants: a table, then one line of JSON.

usage: compare.py OUR_BINARY [PYTHON_WITH_TENSEAL]      environment: ROUNDS (3)
"""

import json
import os
import pathlib
import subprocess
import sys

ROUNDS = int(os.environ.get("ROUNDS", "3"))
HERE = pathlib.Path(__file__).parent


class Side:
    """A process that answers one operation a line with one line of JSON."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, operation):
        self.process.stdin.write(operation + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("%s ended during '%s': wrong answer or crash" % (self.process.args[0], operation))
        return json.loads(line)


def best(answers, key="us"):
    return min(a[key] for a in answers)


def main():
    ours = Side([sys.argv[1]])
    reason = "tenseal could not be installed"
    peer = None
    if len(sys.argv) > 2 and sys.argv[2]:
        peer = Side([sys.argv[2], str(HERE / "seal_peer.py")])
    hardware = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    isa = ours.ask("isa")["isa"]
    print("kernels: %s; peer: SEAL 4.3 through tenseal.sealapi %s" % (isa, "" if peer else "(" + reason + ")"))
    print("%-34s %12s %12s %8s %6s" % ("one thread, CPU microseconds", "alcove", "SEAL", "ratio", "bar"))
    rows = []

    def row(metric, value, unit, bar, why=None, lower_is_better=False):
        holds = None
        if value is not None and bar is not None:
            holds = value <= bar if lower_is_better else value >= bar
        entry = {"metric": metric, "value": value, "unit": unit, "bar": bar, "holds": holds}
        if why:
            entry["reason"] = why
        rows.append(entry)

    def compare(metric, operation, bar, theirs=None, note=None):
        mine, seal = [], []
        for _ in range(ROUNDS):
            mine.append(ours.ask(operation))
            if peer:
                seal.append(peer.ask(theirs or operation))
        us = best(mine)
        if not peer:
            row(metric, None, "ratio", bar, reason)
            return
        ratio = best(seal) / us
        print("%-34s %12.1f %12.1f %8.2f %6s" % (metric, us, best(seal), ratio, bar if bar else ""))
        row(metric, round(ratio, 2), "ratio", bar, note)

    compare("ntt_4096_vs_seal", "ntt", 12)
    compare("rotate_vs_seal", "rotate", 9)
    compare("encrypt_seeded_vs_seal", "encrypt", 9, "encrypt",
            "SEAL's side excludes serialisation: its Python interface cannot save without zstd")
    compare("encrypt_seeded_save_zstd_vs_seal", "encrypt_save", None)
    compare("load_and_expand_seed_vs_seal", "load_expand", 9, None,
            "both sides also read a file and undo zstd, which SEAL's Python interface cannot avoid")
    compare("multiply_plain_vs_seal", "multiply_plain", 8)
    row("multiply_relinearise_vs_seal", None, "ratio", 3, "ciphertext multiplication is not built yet")

    def search_answers():
        mine, seal = [], []
        for _ in range(ROUNDS):
            mine.append(ours.ask("search 10000"))
            if peer:
                seal.append(peer.ask("search"))
        return mine, seal

    mine, seal = search_answers()
    expand, per_block = best(mine, "expand_us"), best(mine, "score_us") / mine[0]["blocks"]
    for metric, blocks, bar in (("search_10k_384_vs_seal", 3, 13), ("search_1m_384_vs_seal", 245, 46)):
        us = expand + blocks * per_block
        if not peer:
            row(metric, None, "ratio", bar, reason)
            continue
        theirs = best(seal, "baby_us") + blocks * best(seal, "block_us")
        print("%-34s %12.0f %12.0f %8.2f %6s" % (metric, us, theirs, theirs / us, bar))
        row(metric, round(theirs / us, 2), "ratio", bar, "both sides scaled from measured blocks" if blocks > 3 else None)
    if peer:
        us = expand + 245 * best(mine, "batch8_us") / mine[0]["blocks"] / 8
        theirs = best(seal, "baby_us") + 245 * best(seal, "block_us")
        print("%-34s %12.0f %12.0f %8.2f %6s" % ("search_1m_384_batch8_vs_seal", us, theirs, theirs / us, 115))
        row("search_1m_384_batch8_vs_seal", round(theirs / us, 2), "ratio", 115,
            "a query of eight; both sides scaled from measured blocks")
    else:
        row("search_1m_384_batch8_vs_seal", None, "ratio", 115, reason)
    if peer:
        faster = [ours.ask("search_q50 10000") for _ in range(ROUNDS)]
        theirs = best(seal, "baby_us") + 3 * best(seal, "block_us")
        us = best(faster, "expand_us") + best(faster, "score_us")
        print("%-34s %12.0f %12.0f %8.2f" % ("search_10k_384_q50_vs_seal", us, theirs, theirs / us))
        row("search_10k_384_q50_vs_seal", round(theirs / us, 2), "ratio", None, "the set with quantum-128 parameters")
    row("query_bytes", mine[0]["query_bytes"], "bytes", 30000, "zlib, as node-seal sends it", lower_is_better=True)
    row("key_bytes", mine[0]["key_bytes"], "bytes", 600000, "zlib, as node-seal sends them", lower_is_better=True)
    prompt = best([ours.ask("prompt") for _ in range(ROUNDS)]) / 1e6
    row("encrypt_1024x768_p95", round(prompt, 4), "s", 2, "one thread", lower_is_better=True)
    cores = len(os.sched_getaffinity(0))
    row("encrypt_1024x768_per_second", round(cores / prompt, 1), "requests/s", 100,
        "one thread's rate times %d cores" % cores)
    print("query %d B, keys %d B on the wire; a reply of 65,649 B scores 4,096 rows" %
          (mine[0]["query_bytes"], mine[0]["key_bytes"]))
    print("a 1,024 x 768 prompt is encrypted in %.3f s on one thread" % prompt)
    print(json.dumps({"bench": "fhe", "hardware": "%s, %d cores, %s kernels" % (hardware, cores, isa), "rows": rows}))


main()
