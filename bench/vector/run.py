"""make bench NAME=vector: Alcove's HNSW beside its peers, one search thread each, CPU time, recall@10 against exact.

Environment: FULL=1 for the full sizes, DATA=path.npy|.fvecs adds a set of real embeddings as `file`, SETS=s128,s768
chooses, PEERS=hnswlib,… chooses, CHECK=1 exits 1 when a bar does not hold, RUNNER=path of alcove_ann_bench (set by `run`).
"""

import gc
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import data
import peers

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = (0.95, 0.99)
ROUNDS = 3
BUILD_THREADS = 2
# name: (rows, rows with FULL, bars against hnswlib, best peer, bytes, compact, build; None: no bar)
SETS = {
    "s128": (50_000, 200_000, dict(hnswlib=3.5, best=1.5, bytes=0.9, compact=2, build=2)),
    "s768": (50_000, 100_000, dict(hnswlib=5, best=2, bytes=0.75, compact=3, build=3)),
    "hard128": (50_000, 100_000, None),
}
FILE_BARS = dict(hnswlib=4, best=2, bytes=0.75, compact=3, build=3)
MODES = {
    "fast": ["codes=int4", "vectors=f16"],
    "compact": ["codes=int4", "vectors=int8"],
}


def recall(found, truth):
    return float(np.mean([len(set(map(int, f)) & set(map(int, t))) / len(t) for f, t in zip(found, truth)]))


def at_recall(points, target):
    """QPS at a recall, interpolated on log(QPS) between the two measured settings around it; None if not reached."""
    points = sorted(points)
    # Only settings no other beats in both recall and speed.
    front = [p for p in points if not any(q[0] >= p[0] and q[1] > p[1] for q in points)]
    above = [p for p in front if p[0] >= target]
    below = [p for p in front if p[0] < target]
    if not above:
        return None
    if not below:
        return above[0][1]
    (r0, q0), (r1, q1) = below[-1], above[0]
    share = (target - r0) / (r1 - r0)
    return float(np.exp(np.log(q0) * (1 - share) + np.log(q1) * share))


def run_peer(name, base, queries, truth):
    build, size, settings = peers.PEERS[name](base, queries, BUILD_THREADS)
    points = []
    for _, search in settings:
        best, found = 0.0, None
        for _ in range(ROUNDS):
            start = time.process_time()
            found = search()
            best = max(best, len(queries) / (time.process_time() - start))
        points.append((recall(found, truth), best))
        if points[-1][0] > 0.996:
            break
    return dict(build=len(base) / build, bytes=size, points=points)


def run_alcove(runner, folder, dim, options):
    command = [runner, *(str(folder / f) for f in ("base.f32", "queries.f32", "truth.i32")), str(dim), str(data.K),
               "ef=10,12,15,20,25,30,40,50,60,80,120,160,240,320,480", f"rounds={ROUNDS}",
               f"threads={BUILD_THREADS}", "batch=1000", *options]
    lines = [json.loads(l) for l in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    head, rows = lines[0], lines[1:]
    return dict(build=head["rows"] / (head["build_cpu_s"] + head["optimize_cpu_s"]), bytes=head["bytes_per_vector"],
                rss=head["rss_per_vector"], points=[(r["recall"], r["qps"]) for r in rows])


def hardware():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((l.split(":")[1].strip() for l in text.splitlines() if l.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores"


def show(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def main():
    runner = os.environ["RUNNER"]
    full = os.environ.get("FULL") == "1"
    sets = dict(SETS)
    file = os.environ.get("DATA")
    if file:
        sets["file"] = (0, 0, FILE_BARS)
    chosen = os.environ.get("SETS", ",".join(sets)).split(",")
    wanted = os.environ.get("PEERS", ",".join(peers.PEERS)).split(",")
    cache = ROOT / ".local/bench-vector-data"
    rows = []

    def row(metric, value, bar, unit="ratio", most=False, reason=None):
        holds = None if value is None or bar is None else (value <= bar if most else value >= bar)
        entry = dict(metric=metric, value=None if value is None else round(value, 3), unit=unit, bar=bar, holds=holds)
        if reason:
            entry["reason"] = reason
        rows.append(entry)

    for name in chosen:
        small, large, bars = sets[name]
        base, queries, truth, folder = data.load(name, large if full else small, cache, file if name == "file" else None)
        dim = base.shape[1]
        print(f"\n{name}: {len(base):,} x {dim}, {len(queries)} queries, recall@{data.K}, one thread, QPS per CPU second")
        print(f"{'':24}{'@0.95':>10}{'@0.99':>10}{'B/vector':>10}{'build/s':>10}   (raw {dim * 4} B; build per CPU second)")
        results, failed = {}, {}
        for mode, options in MODES.items():
            # Small vectors leave little room beside the links: 28 instead of 32 keep the fast mode within its bytes.
            links = ["m=14"] if dim <= 128 else ["m=16"]
            results[f"alcove {mode}"] = run_alcove(runner, folder, dim, options + links)
        for peer in wanted:
            try:
                results[peer] = run_peer(peer, base, queries, truth)
            except Exception as error:  # a peer that cannot run here is reported, not hidden
                failed[peer] = f"{type(error).__name__}: {error}"
            gc.collect()
        for label, result in results.items():
            result["at"] = [at_recall(result["points"], target) for target in TARGETS]
            print(f"{label:24}{show(result['at'][0]):>10}{show(result['at'][1]):>10}{show(result['bytes']):>10}"
                  f"{show(result['build']):>10}")
        for peer, reason in failed.items():
            print(f"{peer:24}not run: {reason}")
            row(f"{name}_{peer}", None, None, reason=reason)

        fast, compact = results["alcove fast"], results["alcove compact"]
        bars = bars or {}
        for i, target in enumerate(TARGETS):
            tag = f"qps_r{int(target * 100)}_{name}"
            reference = results.get("hnswlib", {}).get("at", [None, None])[i]
            others = [r["at"][i] for p, r in results.items() if not p.startswith("alcove") and r["at"][i]]
            mine = fast["at"][i]
            row(f"{tag}_vs_hnswlib", mine / reference if mine and reference else None, bars.get("hnswlib"))
            row(f"{tag}_vs_best_peer", mine / max(others) if mine and others else None, bars.get("best"))
        row(f"bytes_per_vector_{name}_vs_raw", fast["bytes"] / (dim * 4), bars.get("bytes"), most=True)
        row(f"compact_bytes_{name}_vs_raw", compact["bytes"] / (dim * 4), 0.32 if bars else None, most=True)
        reference = results.get("hnswlib")
        if reference:
            value = compact["at"][0] / reference["at"][0] if compact["at"][0] and reference["at"][0] else None
            row(f"compact_qps_r95_{name}_vs_hnswlib", value, bars.get("compact"),
                reason=None if value else "0.95 not reached")
            row(f"build_rate_{name}_vs_hnswlib", fast["build"] / reference["build"], bars.get("build"))
        row(f"reported_bytes_{name}_vs_rss", fast["bytes"] / fast["rss"], None)

    print()
    for entry in rows:
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "no bar"}[entry["holds"]]
        print(f"{entry['metric']:44}{show(entry['value'], 2):>8}  bar {show(entry['bar'], 2):>6}  {verdict}")
    print(json.dumps(dict(bench="vector", hardware=hardware(), rows=rows)))
    if os.environ.get("CHECK") == "1" and any(r["holds"] is False for r in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
