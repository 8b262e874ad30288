"""Private search against plain search on real embeddings. usage: bench.py BIN_FOLDER MODEL_FOLDER PACKAGES.jsonl"""

import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request

import numpy as np

BIN, MODEL, PACKAGES = (pathlib.Path(p) for p in sys.argv[1:4])
QUERIES, ENCRYPTED, TOP = 200, 10, 10


def hardware():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


class Stack:
    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="alcove-bench-")
        self.ctl("up", "--detach", "--port", "0", "--base-port", "0", "--model", str(MODEL))
        state = json.load(open(f"{self.data}/run/stack.json"))
        self.url = "http://" + state["gateway"]
        self.key = open(f"{self.data}/data/gateway/admin.key").read().strip()

    def ctl(self, *args):
        done = subprocess.run([BIN / "alcovectl", *args, "--data", self.data], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"alcovectl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def post(self, path, body=None):
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode() if body is not None else None,
                                         headers={"authorization": "Bearer " + self.key, "content-type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def down(self):
        subprocess.run([BIN / "alcovectl", "down", "--data", self.data], capture_output=True)
        shutil.rmtree(self.data, ignore_errors=True)


def main():
    rows = [json.loads(line) for line in open(PACKAGES)]
    held_out, stored = rows[:QUERIES], rows[QUERIES:]
    stack = Stack()
    try:
        stack.ctl("collections", "create", "packages")
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            for row in stored:
                file.write(json.dumps(row) + "\n")
            file.flush()
            stack.ctl("ingest", "packages", file.name)
        ids, vectors, token = [], [], ""
        while True:
            page = stack.post("/v1/collections/packages/points:scroll",
                              {"page_size": 1000, "page_token": token, "with_vectors": True, "payload": {"none": True}})
            ids += [point["id"] for point in page["points"]]
            vectors += [point["vector"] for point in page["points"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        vectors = np.array(vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = np.array([d["embedding"] for d in stack.post("/v1/embeddings", {
            "model": "default", "input": [row["text"] for row in held_out], "encoding_format": "float"})["data"]])
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        parameters = stack.post("/v1/private/collections/packages")
        scales = parameters["quantisation"]
        integers = np.rint(vectors * scales["row_scale"]).astype(np.int64)
        assert np.abs(integers).max() <= 127

        raw, again, errors = [], [], []
        for query in queries:
            exact = vectors @ query
            best = set(np.argsort(-exact, kind="stable")[:TOP])
            scores = integers @ np.rint(query * scales["query_scale"]).astype(np.int64)
            assert np.abs(scores).max() < int(parameters["set"]["plain_modulus"]) / 2
            similarity = scores / (scales["row_scale"] * scales["query_scale"])
            errors.append(np.abs(similarity - exact).max())
            order = np.argsort(-scores, kind="stable")
            raw.append(len(best & set(order[:TOP])) / TOP)
            short = order[:2 * TOP]
            unit = np.abs(vectors[short]).max(axis=1, keepdims=True) / 32767
            finer = np.rint(vectors[short] / unit) * unit
            finer = finer @ query / np.linalg.norm(finer, axis=1)
            again.append(len(best & set(short[np.argsort(-finer, kind="stable")[:TOP]])) / TOP)

        # The real thing, for some of them.
        keys = f"{stack.data}/keys"
        stack.ctl("private", "keygen", "--keys", keys)
        times, encrypted = [], []
        for query in queries[:ENCRYPTED]:
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(query.tolist(), file)
                file.flush()
                plain = json.loads(stack.ctl("private", "search", "packages", "--vector", file.name, "--keys", keys, "-o",
                                             "json", "--no-documents"))
                finer = json.loads(stack.ctl("private", "search", "packages", "--vector", file.name, "--keys", keys, "-o",
                                             "json", "--rescore"))
            by_id = dict(zip(ids, integers @ np.rint(query * scales["query_scale"]).astype(np.int64)))
            for hit in plain["hits"]:
                want = by_id[hit["id"]] / (scales["row_scale"] * scales["query_scale"])
                assert abs(hit["score"] - want) < 1e-4, "an encrypted score differs from the integers'"
            exact = vectors @ query
            best = {ids[i] for i in np.argsort(-exact, kind="stable")[:TOP]}
            encrypted.append(len(best & {hit["id"] for hit in finer["hits"]}) / TOP)
            times.append({step["step"]: step for step in plain["steps"] + finer["steps"]})

        def median(step):
            return statistics.median(t[step]["ms"] for t in times)

        result = [
            ("top10_overlap_after_rescoring", float(np.mean(again)), "fraction", 0.99),
            ("top10_overlap_by_encrypted_scores_alone", float(np.mean(raw)), "fraction", None),
            ("top10_overlap_encrypted_end_to_end", float(np.mean(encrypted)), "fraction", 0.99),
            ("largest_error_of_a_similarity", float(np.max(errors)), "", None),
            ("search_ms", median("scores computed on ciphertext"), "ms", None),
            ("query_bytes", times[0]["scores computed on ciphertext"]["sent_bytes"], "B", None),
            ("documents_ms", median("documents fetched privately"), "ms", None),
        ]
        print(f"{len(ids)} documents, {QUERIES} queries held out, {ENCRYPTED} of them encrypted\n")
        for name, value, unit, bar in result:
            print(f"{name:44s} {value:10.4f} {unit:9s}" + (f" wanted {bar}" if bar else ""))
        print(json.dumps({"bench": "private", "hardware": hardware(), "rows": [
            {"metric": name, "value": round(value, 5), "unit": unit, "bar": bar, "holds": bar is None or value >= bar}
            for name, value, unit, bar in result]}))
    finally:
        stack.down()


main()
