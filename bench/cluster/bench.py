"""Ingest, the loss of a replica and resharding under load, through the real processes. See README.md."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

import cluster

BUILD = pathlib.Path(sys.argv[1])
VECTORS = int(os.environ.get("VECTORS", "200000"))
CLIENTS = int(os.environ.get("CLIENTS", "4"))
SECONDS = float(os.environ.get("SECONDS", "5"))
DIMENSION = 384
INGEST_BAR = 50_000


def hardware():
    model = next((l.split(":")[1].strip() for l in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if l.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


def row(metric, value, unit, bar=None, holds=None):
    out = {"metric": metric, "value": value, "unit": unit}
    if bar is not None:
        out |= {"bar": bar, "holds": holds}
    return out


class Load:
    """`work(client, number)` again and again on CLIENTS threads; counts calls, seconds and failures."""

    def __init__(self, cluster_, works):
        self.stop_, self.failures, self.times = threading.Event(), [], [[] for _ in works]
        self.threads = [threading.Thread(target=self.run, args=(cluster_.client(), i, w)) for i, w in enumerate(works)]

    def run(self, client, index, work):
        number = index * 1009
        while not self.stop_.is_set():
            begun = time.perf_counter()
            try:
                work(client, number)
            except cluster.Failed as error:
                self.failures.append(str(error))
            self.times[index].append((begun, time.perf_counter() - begun))
            number += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop_.set()
        for thread in self.threads:
            thread.join()

    def latencies(self, begin, end):
        """In ms, of the calls begun in between."""
        return [1e3 * took for times in self.times for begun, took in times if begin <= begun < end]


def vector_of(number, dimension):
    return np.random.default_rng(number).standard_normal(dimension).round(4).tolist()


def put(client, collection, numbers, dimension, **more):
    return client.ask("PUT", f"/v1/collections/{collection}/points",
                      {"points": [{"id": f"p{n}", "vector": vector_of(n, dimension)} for n in numbers], **more})


def search_is_right(client, collection, number, dimension, **more):
    found = client.ask("POST", f"/v1/collections/{collection}/points:search",
                       {"vector": vector_of(number, dimension), "limit": 1, "params": {"exact": True}, **more})
    if [p["id"] for p in found["points"]] != [f"p{number}"]:
        raise cluster.Failed(f"the nearest to p{number} is said to be {found['points']}")


def create(client, collection, dimension, **more):
    client.ask("POST", "/v1/collections", {"name": collection, "vectors": {"": {"dimension": dimension, "metric": "l2"}}, **more})


def ingest(work, rows):
    servers = cluster.Cluster(BUILD, work / "ingest", [[0]], 1)
    servers.start()
    try:
        client = servers.client()
        create(client, "docs", DIMENSION)
        vectors = np.random.default_rng(0).standard_normal((VECTORS, DIMENSION), np.float32)
        np.save(work / "vectors.npy", vectors)
        begun = time.monotonic()
        subprocess.run([BUILD / "bin/alcovectl", "ingest", "docs", work / "vectors.npy", "--server",
                        f"127.0.0.1:{servers.gateway_port}", "--timeout", "600s"], check=True, capture_output=True)
        rate = VECTORS / (time.monotonic() - begun)
        while int(client.ask("GET", "/v1/collections/docs")["points"]) < VECTORS:
            time.sleep(0.05)
        indexed = VECTORS / (time.monotonic() - begun)
        wrong = 0
        for number in range(0, VECTORS, max(1, VECTORS // 200)):
            found = client.ask("POST", "/v1/collections/docs/points:search",
                               {"vector": vectors[number].tolist(), "limit": 1, "params": {"exact": True}, "with_vectors": True})
            point = found["points"][0]
            wrong += abs(point["score"]) > 1e-3 or not np.allclose(point["vector"], vectors[number], atol=1e-6)
        if wrong:
            raise RuntimeError(f"{wrong} of 200 vectors are not found as they were sent")
        print(f"ingest    {VECTORS:,} vectors of {DIMENSION}: {rate:,.0f} a second acknowledged (bar {INGEST_BAR:,}), "
              f"{indexed:,.0f} a second until all are found; 200 looked up, all as sent")
        rows.append(row("ingest_acknowledged", round(rate), "vectors/s", INGEST_BAR, rate >= INGEST_BAR))
        rows.append(row("ingest_found", round(indexed), "vectors/s"))
    finally:
        servers.stop()


def replica(work, rows):
    servers = cluster.Cluster(BUILD, work / "replica", [[0], [0]], 1)
    servers.start()
    try:
        client, count, dimension = servers.client(), 2000, 64
        create(client, "docs", dimension)
        for start in range(0, count, 500):
            put(client, "docs", range(start, start + 500), dimension, wait=True)
        sequence = put(client, "docs", [0], dimension, wait=True)["sequence"]
        # Both hold everything before one of them goes.
        for _ in range(50):
            search_is_right(client, "docs", 0, dimension, min_sequence=sequence)
        with Load(servers, [lambda c, n: search_is_right(c, "docs", n % count, dimension)] * CLIENTS) as load:
            began = time.perf_counter()
            time.sleep(SECONDS)
            killed = time.perf_counter()
            servers.kill(1)
            time.sleep(SECONDS)
            restarted = time.perf_counter()
            servers.start_node(1)
            time.sleep(SECONDS)
            ended = time.perf_counter()
        parts = [("before", began, killed), ("without it", killed, restarted), ("back again", restarted, ended)]
        total = len(load.latencies(began, ended))
        print(f"replica   {total:,} searches by {CLIENTS} clients, one of two replicas killed and started again: "
              f"{len(load.failures)} failed (bar 0); p50/p99 ms " +
              ", ".join(f"{name} {np.percentile(load.latencies(a, b), 50):.1f}/{np.percentile(load.latencies(a, b), 99):.1f}"
                        for name, a, b in parts) + f"; longest {max(load.latencies(began, ended)):.0f}")
        for failure in load.failures[:3]:
            print(f"          {failure}")
        rows.append(row("replica_kill_failed_searches", len(load.failures), "searches", 0, not load.failures))
        rows.append(row("replica_kill_longest_search", round(max(load.latencies(began, ended)), 1), "ms"))
    finally:
        servers.stop()


def reshard(work, rows):
    servers = cluster.Cluster(BUILD, work / "reshard", [[0], [1], [2]], 2)
    servers.start()
    try:
        client, count, dimension = servers.client(), 20_000, 64
        create(client, "docs", dimension, shard_count=2)
        for start in range(0, count, 1000):
            put(client, "docs", range(start, start + 1000), dimension, wait=True)
        written = [[] for _ in range(2)]

        def write(which):
            def work_(client_, number):
                mine = count + which * 1_000_000 + number
                put(client_, "docs", [mine], dimension)
                written[which].append(mine)
            return work_

        works = [write(0), write(1)] + [lambda c, n: search_is_right(c, "docs", n % count, dimension)] * max(1, CLIENTS - 2)
        with Load(servers, works) as load:
            time.sleep(1)
            begun = time.perf_counter()
            client.ask("POST", "/v1/collections/docs/resharding", {"shard_count": 3})
            while client.ask("GET", "/v1/collections/docs/resharding")["active"]:
                time.sleep(0.05)
            took = time.perf_counter() - begun
            time.sleep(1)
        shards = int(client.ask("GET", "/v1/collections/docs")["shard_count"])
        put(client, "docs", [0], dimension, wait=True)
        expected = {f"p{n}" for n in range(count)} | {f"p{n}" for w in written for n in w}
        seen, token = [], ""
        while True:
            page = client.ask("POST", "/v1/collections/docs/points:scroll",
                              {"page_size": 1000, "page_token": token, "payload": {"none": True}})
            seen += [p["id"] for p in page["points"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        lost, doubled = len(expected - set(seen)), len(seen) - len(set(seen))
        print(f"reshard   2 to {shards} shards in {took:.1f} s under {sum(map(len, load.times)):,} calls: {len(load.failures)} failed, "
              f"{lost} of {len(expected):,} points lost, {doubled} doubled (bars 0)")
        for failure in load.failures[:3]:
            print(f"          {failure}")
        if shards != 3:
            raise RuntimeError(f"the collection has {shards} shards")
        rows.append(row("reshard_failed_calls", len(load.failures), "calls", 0, not load.failures))
        rows.append(row("reshard_lost_points", lost, "points", 0, lost == 0))
        rows.append(row("reshard_doubled_points", doubled, "points", 0, doubled == 0))
    finally:
        servers.stop()


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="alcove-bench-"))
    rows = []
    try:
        for part in (ingest, replica, reshard):
            part(work, rows)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(json.dumps({"bench": "cluster", "hardware": hardware(), "rows": rows}))


if __name__ == "__main__":
    main()
