"""Runs our side and SEAL's in turns and prints what `make bench` wants: a table, then one line of JSON.

usage: compare.py OUR_BINARY [PYTHON_WITH_TENSEAL]      environment: ROUNDS (3)
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

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
        shared = tempfile.TemporaryDirectory(dir="/dev/shm")
        ours.ask("write " + shared.name)
        peer = Side([sys.argv[2], str(HERE / "seal_peer.py"), shared.name])
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

    compare("ntt_4096_vs_seal", "ntt_36", 12, note="at SEAL's default primes for N = 4096 (36 bits)")
    compare("ntt_4096_50bit_vs_seal", "ntt", 12, note="at a 50-bit prime, the search's")
    compare("rotate_vs_seal", "rotate", 9)
    compare("encrypt_seeded_vs_seal", "encrypt", 9, "encrypt",
            "SEAL's side excludes serialisation: its Python interface cannot save without zstd")
    compare("encrypt_seeded_save_zstd_vs_seal", "encrypt_save", None)
    compare("load_and_expand_seed_vs_seal", "load_expand", 9, None,
            "both sides read the same kind of uncompressed file from memory")
    compare("multiply_plain_vs_seal", "multiply_plain", 8)
    compare("multiply_relinearise_vs_seal", "multiply_relinearise", 3)

    mine, seal = [], []
    for _ in range(ROUNDS):
        mine.append(ours.ask("search 10000"))
        if peer:
            seal.append(peer.ask("search"))
    # A million rows take 3.1 GB; with less memory free, fewer are scanned and both sides are scaled alike.
    free = next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemAvailable")) / 2**20
    blocks = 245 if free > 6 else 64
    large = ours.ask("search_large %d" % (blocks * 4096))
    expand = large["expand_us"]
    large_us = expand + (large["us"] - expand) * 245 / blocks
    batch_us = expand + (large["batch8_us"] - expand) * 245 / blocks
    scaled = "" if blocks == 245 else "ours scaled from %d blocks; " % blocks
    for metric, us, count, bar, note in (
            ("search_10k_384_vs_seal", best(mine), 3, 13,
             "partial expansion, %d numbers of a row in a ciphertext, %d replies of %.0f kB in all" %
             (mine[0]["fold"], mine[0]["blocks"], mine[0]["reply_bytes"] / 1e3)),
            ("search_1m_384_vs_seal", large_us, 245, 46, scaled + "SEAL's side is scaled from its time for one block"),
            ("search_1m_384_batch8_vs_seal", batch_us, 245, 115,
             scaled + "a query of eight; SEAL's side is scaled from its time for one block")):
        if not peer:
            row(metric, None, "ratio", bar, reason)
            continue
        theirs = best(seal, "baby_us") + count * best(seal, "block_us")
        print("%-34s %12.0f %12.0f %8.2f %6s" % (metric, us, theirs, theirs / us, bar))
        row(metric, round(theirs / us, 2), "ratio", bar, note)
    row("query_bytes", mine[0]["query_bytes"], "bytes", 30000, "zlib, as node-seal sends it", lower_is_better=True)
    row("key_bytes", mine[0]["key_bytes"], "bytes", 600000, "zlib, as node-seal sends them", lower_is_better=True)
    row("reply_failure_log2", mine[0]["failure_log2"], "log2 probability", -64, "computed bound", lower_is_better=True)
    prompt = best([ours.ask("prompt") for _ in range(ROUNDS)]) / 1e6
    row("encrypt_1024x768_p95", round(prompt, 4), "s", 2, "one thread", lower_is_better=True)
    cores = len(os.sched_getaffinity(0))
    row("encrypt_1024x768_per_second", round(cores / prompt, 1), "requests/s", 100,
        "one thread's rate times %d cores" % cores)
    print("query %d B, keys %d B on the wire; a 1 M x 384 collection takes %.2f GB" %
          (mine[0]["query_bytes"], mine[0]["key_bytes"], large["memory_bytes"] * 245 / blocks / 1e9))
    print("a 1,024 x 768 prompt is encrypted in %.3f s on one thread" % prompt)
    print(json.dumps({"bench": "fhe", "hardware": "%s, %d cores, %s kernels" % (hardware, cores, isa), "rows": rows}))


main()
