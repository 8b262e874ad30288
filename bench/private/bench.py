"""Private search against plain search on real embeddings. usage: bench.py BIN_FOLDER MODEL_FOLDER PACKAGES.jsonl"""

import json
import statistics
import sys
import tempfile

import numpy as np

from stack import Stack, hardware

PACKAGES = sys.argv[3]
QUERIES, ENCRYPTED, CLUSTERED, TOP = 200, 10, 50, 10


def fill(stack, stored):
    stack.ctl("collections", "create", "packages")
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for row in stored:
            file.write(json.dumps(row) + "\n")
        file.flush()
        stack.ctl("ingest", "packages", file.name)


def search_clusters(stack, queries, best, row):
    """Named clusters with a decoy, on clusters small enough for a collection of this size."""
    keys = f"{stack.data}/keys"
    stack.ctl("private", "keygen", "--keys", keys)

    def search(query, *flags):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(query.tolist(), file)
            file.flush()
            found = json.loads(stack.ctl("private", "search", "packages", "--vector", file.name, "--keys", keys, "-o", "json",
                                         "--no-documents", *flags))
        return {hit["id"] for hit in found["hits"]}, next(
            step["received_bytes"] for step in found["steps"] if "ciphertext" in step["step"])

    whole = search(queries[0])[1]
    for neighbours in (4, 8):
        some = [search(query, "--clusters", "2", "--neighbours", str(neighbours)) for query in queries[:CLUSTERED]]
        name = f"clusters_2_neighbours_{neighbours}"
        row(f"{name}_top10_overlap", np.mean([len(hits & best[q]) / TOP for q, (hits, _) in enumerate(some)]), "fraction")
        row(f"{name}_part_of_a_whole_search", np.mean([size for _, size in some]) / whole, "fraction")


def main():
    rows = [json.loads(line) for line in open(PACKAGES)]
    held_out, stored = rows[:QUERIES], rows[QUERIES:]
    stack = Stack()
    try:
        fill(stack, stored)
        ids, vectors, token = [], [], ""
        while True:
            page = stack.call("/v1/collections/packages/points:scroll",
                              {"page_size": 1000, "page_token": token, "with_vectors": True, "payload": {"none": True}})
            ids += [point["id"] for point in page["points"]]
            vectors += [point["vector"] for point in page["points"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        vectors = np.array(vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = np.array([d["embedding"] for d in stack.call("/v1/embeddings", {
            "model": "default", "input": [row["text"] for row in held_out], "encoding_format": "float"})["data"]])
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        exact = queries @ vectors.T
        best = np.argsort(-exact, axis=1, kind="stable")[:, :TOP]
        rows = []

        def row(metric, value, unit, bar=None):
            rows.append({"metric": metric, "value": round(float(value), 5), "unit": unit, "bar": bar,
                         "holds": bar is None or bool(value >= bar)})
            print(f"{metric:52s} {value:10.4f} {unit:9s}" + (f" wanted {bar}" if bar else ""), flush=True)

        print(f"{len(ids)} documents, {QUERIES} queries held out, {ENCRYPTED} of them encrypted\n")
        for name in ("s50", "q50", "q50-fine"):
            parameters = stack.call(f"/v1/private/collections/packages?parameter_set={name}")
            scales = parameters["quantisation"]
            integers = np.rint(vectors * scales["row_scale"]).astype(np.int64)
            assert np.abs(integers).max() <= 127
            scores = np.rint(queries * scales["query_scale"]).astype(np.int64) @ integers.T
            assert np.abs(scores).max() < int(parameters["set"]["plain_modulus"]) / 2
            similarity = scores / (scales["row_scale"] * scales["query_scale"])

            # Every held-out query on the integers alone, which is what encrypted scores are.
            raw, again = [], []
            for q, order in enumerate(np.argsort(-scores, axis=1, kind="stable")):
                raw.append(len(set(best[q]) & set(order[:TOP])) / TOP)
                short = order[:2 * TOP]
                unit = np.abs(vectors[short]).max(axis=1, keepdims=True) / 32767
                finer = np.rint(vectors[short] / unit) * unit
                finer = finer @ queries[q] / np.linalg.norm(finer, axis=1)
                again.append(len(set(best[q]) & set(short[np.argsort(-finer, kind="stable")[:TOP]])) / TOP)
            row(f"{name}_top10_overlap_after_rescoring", np.mean(again), "fraction", 0.99)
            row(f"{name}_top10_overlap_by_encrypted_scores_alone", np.mean(raw), "fraction")
            row(f"{name}_largest_error_of_a_similarity", np.abs(similarity - exact).max(), "")

            # The real thing, for some of them. Vectors of so many documents can be looked up under s50 and q50 only.
            keys = f"{stack.data}/keys-{name}"
            stack.ctl("private", "keygen", "--keys", keys, "--set", name)
            plain_steps, finer_steps, encrypted = [], [], []
            for q in range(ENCRYPTED):
                with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                    json.dump(queries[q].tolist(), file)
                    file.flush()
                    ask = ("private", "search", "packages", "--vector", file.name, "--keys", keys, "-o", "json")
                    plain = json.loads(stack.ctl(*ask, "--no-documents"))
                    finer = json.loads(stack.ctl(*ask, "--rescore")) if name != "q50-fine" else None
                by_id = dict(zip(ids, similarity[q]))
                for hit in plain["hits"]:
                    assert abs(hit["score"] - by_id[hit["id"]]) < 1e-4, "an encrypted score differs from the integers'"
                plain_steps.append({step["step"]: step for step in plain["steps"]})
                if finer:
                    encrypted.append(len({ids[i] for i in best[q]} & {hit["id"] for hit in finer["hits"]}) / TOP)
                    finer_steps.append({step["step"]: step for step in finer["steps"]})

            def median(steps, step, what):
                return statistics.median(t[step][what] for t in steps)

            if finer_steps:
                row(f"{name}_top10_overlap_encrypted_end_to_end", np.mean(encrypted), "fraction", 0.99)
                row(f"{name}_documents_ms", median(finer_steps, "documents fetched privately", "ms"), "ms")
            row(f"{name}_search_ms", median(plain_steps, "scores computed on ciphertext", "ms"), "ms")
            row(f"{name}_query_bytes", median(plain_steps, "scores computed on ciphertext", "sent_bytes"), "B")
            row(f"{name}_received_bytes", median(plain_steps, "scores computed on ciphertext", "received_bytes"), "B")
    finally:
        stack.down()
    stack = Stack(ALCOVE_FHE_PROXY__DATABASE__CLUSTER_ROWS="256")
    try:
        fill(stack, stored)
        search_clusters(stack, queries, [{ids[i] for i in one} for one in best], row)
    finally:
        stack.down()
    print(json.dumps({"bench": "private", "hardware": hardware(), "rows": rows}))


main()
