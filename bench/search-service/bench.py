"""Search through the real processes, beside Chroma and pgvector. See README.md."""

import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time

import numpy as np

import contestants
import http_client
import wordnet

BUILD, MODEL, CACHE = (pathlib.Path(a) for a in sys.argv[1:4])
ROWS = os.environ.get("ROWS", "all")
CLIENTS = int(os.environ.get("CLIENTS", "8"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
QUERIES, K, RECALL = 1000, 10, 0.95
EFS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 640]
CPU_PER_REQUEST_BAR, P50_BAR = 10.0, 0.3


def hardware():
    model = next((l.split(":")[1].strip() for l in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if l.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores"


def progress(done, of, rate):
    print(f"\r  {done:,}/{of:,} texts embedded and stored, {rate:,.0f}/s  ", end="" if done < of else "\n", file=sys.stderr, flush=True)


def exact(base, queries):
    best = []
    for start in range(0, len(queries), 100):
        best.extend(np.argsort(-(queries[start:start + 100] @ base.T), axis=1)[:, :K])
    return [set(map(int, row)) for row in best]


def cpu_seconds(processes):
    return sum(sum(p.cpu_times()[:2]) for p in processes)


def recall(client, truth, count):
    return sum(len(truth[i] & set(client.ask(i))) for i in range(count)) / (K * count)


def smallest_ef(server, queries, truth):
    """The smallest ef of the list with enough recall over all queries, and that recall."""
    for ef in EFS:
        server.set_ef(ef)
        client = server.client(ef, queries)
        if recall(client, truth, 200) < RECALL - 0.03:
            continue
        found = recall(client, truth, len(queries))
        if found >= RECALL:
            return ef, found
    raise RuntimeError(f"{server.name} does not reach recall {RECALL}")


def latencies(client, count):
    """Seconds of each request, one at a time."""
    out = []
    for i in range(count):
        begun = time.perf_counter()
        client.ask(i)
        out.append(time.perf_counter() - begun)
    return out


def throughput(server, make_client, seconds):
    """(requests a second, requests a second of the servers' processor time) with CLIENTS clients."""
    clients = [make_client() for _ in range(CLIENTS)]
    stop, counts = threading.Event(), [0] * CLIENTS

    def work(which):
        i = which * 97
        while not stop.is_set():
            clients[which].ask(i % QUERIES)
            counts[which] += 1
            i += 1

    processes = server.processes()
    threads = [threading.Thread(target=work, args=(w,)) for w in range(CLIENTS)]
    used, begun = cpu_seconds(processes), time.perf_counter()
    for t in threads:
        t.start()
    time.sleep(seconds)
    stop.set()
    for t in threads:
        t.join()
    wall = time.perf_counter() - begun
    used = cpu_seconds(server.processes()) - used
    return sum(counts) / wall, sum(counts) / used


def percentile(values, p):
    return float(np.percentile(values, p)) * 1e3


def text_searches(alcove, texts):
    """p50 and p99 in ms of a search by text through the gateway: not cached, then cached."""
    connection = http_client.Connection(alcove.host, alcove.port)
    ask = [http_client.prepare(alcove.host, "/v1/collections/texts/search", json.dumps({"query": t, "limit": 10}).encode(),
                               [f"Authorization: Bearer {alcove.key}"]) for t in texts]
    out = {}
    for name in ("computed", "cached"):
        times = []
        for request in ask:
            begun = time.perf_counter()
            reply = json.loads(connection.ask(request))
            times.append(time.perf_counter() - begun)
            if bool(reply.get("cached")) != (name == "cached"):
                raise RuntimeError(f"a search that should be {name} is not")
        out[name] = (percentile(times, 50), percentile(times, 99))
    return out


def main():
    texts = wordnet.definitions()
    if ROWS != "all":
        texts = texts[: int(ROWS) + QUERIES]
    CACHE.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="alcove-bench-"))
    rows, servers = [], []
    try:
        contestants.add_stubs(work / "stubs")
        for shards in (1, 2):
            server = contestants.Alcove(BUILD, MODEL, shards)
            server.start(work)
            servers.append(server)
        one, two = servers
        cached = CACHE / f"wordnet-{len(texts)}.npy"
        if cached.exists():
            vectors, some = np.load(cached), texts[:5000]
            _, rate = two.embed(some, progress)
        else:
            vectors, rate = two.embed(texts, progress)
            np.save(cached, vectors)
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            raise RuntimeError("the embeddings are not of unit length")
        searched = text_searches(two, texts[:500])
        print(f"WordNet definitions x MiniLM, d = {vectors.shape[1]}; {hardware()}")
        print(f"texts embedded, logged and acknowledged, {two.name}: {rate:,.0f} a second")
        for name, (p50, p99) in searched.items():
            print(f"search by text through the gateway, {two.name}, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
            rows += [{"metric": f"text_search_{name}_{p}_ms", "value": round(v, 3), "unit": "ms"} for p, v in (("p50", p50), ("p99", p99))]
        rows.append({"metric": "documents_per_second", "value": round(rate, 1), "unit": "1/s"})

        queries, base = vectors[:QUERIES], np.ascontiguousarray(vectors[QUERIES:])
        truth = exact(base, queries)
        missing = {}
        for make in (contestants.Chroma, contestants.Pgvector):
            try:
                server = make()
                server.start(work)
                servers.append(server)
            except Exception as error:  # a peer that cannot run here is a row that says so
                missing[make.name] = f"{type(error).__name__}: {error}"[:200]
        efs = {}
        for server in servers:
            begun = time.monotonic()
            server.fill(base)
            efs[server.name], found = smallest_ef(server, queries, truth)
            print(f"{server.name:<16} {len(base):,} vectors stored and indexed in {time.monotonic() - begun:.0f} s; "
                  f"ef {efs[server.name]}: recall@10 {found:.4f}", flush=True)
            server.set_ef(efs[server.name])

        entries = []
        for server in servers:
            entries.append((server.name, server, lambda s=server: s.client(efs[s.name], queries)))
            if isinstance(server, contestants.Alcove):
                entries.append((f"{server.name} gRPC", server,
                                lambda s=server: contestants.AlcoveGrpcClient(s, efs[s.name], queries)))
        clients = {name: make() for name, _, make in entries}
        times = {name: [] for name, _, _ in entries}
        rates = {name: [] for name, _, _ in entries}
        for _ in range(ROUNDS):
            for name, server, make in entries:
                latencies(clients[name], 50)
                times[name].append(latencies(clients[name], QUERIES))
                rates[name].append(throughput(server, make, 4.0))
        print(f"{'':<22}{'p50 ms':>9}{'p99 ms':>9}{'requests/s':>12}{'per CPU s':>12}   1 client; {CLIENTS} clients")
        summary = {}
        for name, _, _ in entries:
            p50 = statistics.median(percentile(t, 50) for t in times[name])
            p99 = statistics.median(percentile(t, 99) for t in times[name])
            wall, cpu = (statistics.median(r[i] for r in rates[name]) for i in (0, 1))
            summary[name] = (p50, p99, wall, cpu)
            print(f"{name:<22}{p50:>9.3f}{p99:>9.3f}{wall:>12,.0f}{cpu:>12,.0f}")
            rows.append({"metric": f"{name.replace(' ', '_').lower()}_p99_ms", "value": round(p99, 3), "unit": "ms"})
        for peer in ("chroma", "pgvector"):
            if peer in missing:
                for metric in ("requests_per_cpu_second", "p50"):
                    rows.append({"metric": f"{metric}_vs_{peer}", "value": None, "unit": "ratio", "reason": missing[peer]})
                print(f"{peer}: not run: {missing[peer]}")
                continue
            for alcove in (one, two):
                per_cpu = summary[alcove.name][3] / summary[peer][3]
                p50 = summary[alcove.name][0] / summary[peer][0]
                cpu_row = {"metric": f"requests_per_cpu_second_vs_{peer}", "value": round(per_cpu, 2), "unit": "ratio"}
                p50_row = {"metric": f"p50_vs_{peer}", "value": round(p50, 3), "unit": "ratio"}
                cpu_bar = p50_bar = ""
                if alcove is one:  # the peers hold the collection in one process, too
                    cpu_row |= {"bar": CPU_PER_REQUEST_BAR, "holds": per_cpu >= CPU_PER_REQUEST_BAR}
                    p50_row |= {"bar": P50_BAR, "holds": p50 <= P50_BAR}
                    cpu_bar, p50_bar = f" (bar {CPU_PER_REQUEST_BAR:.0f})", f" (bar {P50_BAR})"
                else:
                    for row in (cpu_row, p50_row):
                        row["metric"] += f"_{alcove.shards}_shards"
                rows += [cpu_row, p50_row]
                print(f"{alcove.name} / {peer}: {per_cpu:.2f}x requests per CPU second{cpu_bar}, p50 {p50:.2f}x{p50_bar}")
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(json.dumps({"bench": "search-service", "hardware": hardware(), "rows": rows}))


if __name__ == "__main__":
    main()
