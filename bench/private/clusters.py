"""What naming clusters of a large collection costs and finds. usage: clusters.py BIN_FOLDER MODEL_FOLDER DATA_FOLDER

WordNet's definitions as bench/vector embeds them. The service cuts the collection; which blocks a client names for each of
1,000 held-out queries, under many secrets, and which of the ten best rows stand in them is then counted here, by the clients'
own choose_blocks and the same integers as the ciphertexts hold. Some searches are made for real: they must find exactly
that, and give bytes and processor time."""

import base64
import json
import os
import pathlib
import resource
import sys
import tempfile
import urllib.parse

import numpy as np

from stack import Stack, hardware

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/vector"), str(ROOT / "examples/private-search")]
import data  # noqa: E402
from clusters import choose_blocks  # noqa: E402

SECRETS, ENCRYPTED, TOP, DEEP = 20, 10, 10, 1000
SETTINGS = [(group, neighbours) for group in (1, 2, 4) for neighbours in (1, 2, 3, 4, 6, 8, 12, 16)]
REAL = [(2, 4), (2, 8), (4, 4)]  # searched for real


def processor_seconds(stack):
    """Of the service, the gateway and all clients so far."""
    total = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    for process in json.load(open(f"{stack.data}/run/stack.json"))["processes"]:
        if process["name"] in ("fhe-proxy", "gateway"):
            fields = open(f"/proc/{process['pid']}/stat").read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def rows_of_blocks(stack, name, sequence):
    """The rows of every block, by the numbers that are their ids."""
    blocks = {}
    with stack.open(f"/v1/private/collections/{name}/rows?parameter_set=s50&sequence={urllib.parse.quote(sequence)}") as response:
        for line in response:
            reply = json.loads(line)
            if "ids" in reply:
                blocks[reply.get("block", 0)] = np.array([int(i) for i in reply["ids"]])
    return blocks


def main():
    base, queries, truth, _ = data.load("wordnet", 0, pathlib.Path(sys.argv[3]))
    stack = Stack(**({"ALCOVE_FHE_PROXY__DATABASE__CLUSTER_ROWS": os.environ["CLUSTER_ROWS"]} if "CLUSTER_ROWS" in os.environ else {}))
    rows = []

    def row(metric, value, unit, bar=None, holds=True):
        rows.append({"metric": metric, "value": round(float(value), 5), "unit": unit, "bar": bar, "holds": bool(holds)})
        print(f"{metric:60s} {value:10.4f} {unit}", flush=True)

    try:
        stack.ctl("collections", "create", "wordnet", "--dimension", "384", "--metric", "cosine")
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, base)
            file.flush()
            stack.ctl("ingest", "wordnet", file.name)
        parameters = stack.call("/v1/private/collections/wordnet?with_clusters=true&parameter_set=s50")
        layout, scales = parameters["layout"], parameters["quantisation"]
        blocks = rows_of_blocks(stack, "wordnet", parameters["sequence"])
        assert sorted(np.concatenate(list(blocks.values()))) == list(range(len(base)))
        block_of = np.empty(len(base), np.int32)
        for block, members in blocks.items():
            block_of[members] = block
        clusters = parameters["clusters"]
        print(f"{len(base):,} rows in {len(clusters)} clusters, {layout['blocks']} blocks\n")
        row("clusters", len(clusters), "")
        row("blocks", layout["blocks"], "")
        row("blocks_that_would_do", np.ceil(len(base) / layout["rows_per_block"]), "")

        # What clients name does not depend on the secret but by its groups, so the nearest cluster is found once.
        integers = np.rint(base * scales["row_scale"]).astype(np.float32)
        scores = np.rint(queries * scales["query_scale"]).astype(np.float32) @ integers.T
        centroids = np.array([np.frombuffer(base64.b64decode(c["centroid"]), np.int8) for c in clusters], np.float32)
        nearest = (scales["row_scale"] * queries @ centroids.T - (centroids ** 2).sum(1) / 2).argmax(1)
        row("best_ten_in_the_nearest_cluster", np.mean([
            np.isin(block_of[truth[q]], clusters[c].get("blocks", [])).mean() for q, c in enumerate(nearest)]), "fraction")
        # The rows of every query in the order of their encrypted scores, far enough down for any 20 of them that are named.
        ranked = np.argpartition(-scores, DEEP, axis=1)[:, :DEEP]
        ranked = np.take_along_axis(ranked, np.argsort(-np.take_along_axis(scores, ranked, 1), axis=1, kind="stable"), 1)
        wanted = np.array([np.isin(ranked[q], truth[q]) for q in range(len(queries))])
        rng = np.random.default_rng(17)
        one_of = {c: queries[nearest.tolist().index(c)].tolist() for c in set(nearest.tolist())}
        for group, neighbours in SETTINGS:
            rescored, raw, cost = [], [], []
            for _ in range(SECRETS if group > 1 else 1):
                secret = rng.bytes(32)
                for c, query in one_of.items():
                    mine = choose_blocks(parameters, query, secret, group, neighbours)
                    named = np.isin(np.arange(layout["blocks"]), mine)
                    these = np.flatnonzero(nearest == c)
                    inside = named[block_of[ranked[these]]]
                    place = inside.cumsum(axis=1)
                    hits = inside & wanted[these]
                    raw.extend((hits & (place <= TOP)).sum(axis=1) / TOP)
                    rescored.extend((hits & (place <= 2 * TOP)).sum(axis=1) / TOP)
                    cost.extend([len(mine) / layout["blocks"]] * len(these))
            name = f"clusters_{group}_neighbours_{neighbours}"
            row(f"{name}_top10_overlap_after_rescoring", np.mean(rescored), "fraction")
            row(f"{name}_top10_overlap_by_encrypted_scores_alone", np.mean(raw), "fraction")
            row(f"{name}_blocks_of_a_whole_search", np.mean(cost), "fraction")

        keys = f"{stack.data}/keys"
        stack.ctl("private", "keygen", "--keys", keys)
        secret = bytes.fromhex(open(f"{keys}/group_secret").read().strip())

        def search(query, *flags):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(query.tolist(), file)
                file.flush()
                return json.loads(stack.ctl("private", "search", "wordnet", "--vector", file.name, "--keys", keys, "-o", "json",
                                            "--no-documents", *flags))

        whole = None
        for setting in [None, *REAL]:
            flags = () if setting is None else ("--clusters", str(setting[0]), "--neighbours", str(setting[1]))
            search(queries[0], *flags)
            before, received, sent = processor_seconds(stack), 0, 0
            for q in range(ENCRYPTED):
                answer = search(queries[q], *flags)
                received += sum(step["received_bytes"] for step in answer["steps"])
                sent += sum(step["sent_bytes"] for step in answer["steps"])
                want = range(len(base))
                if setting is not None:
                    assert answer["named_blocks"] == choose_blocks(parameters, queries[q].tolist(), secret, *setting)
                    want = np.concatenate([blocks[b] for b in answer["named_blocks"] if b in blocks])
                best = np.sort(scores[q, want])[-TOP:][::-1]
                assert np.array_equal(scores[q, [int(hit["id"]) for hit in answer["hits"]]], best), "encrypted scores differ"
            cost = {"processor_ms": (processor_seconds(stack) - before) / ENCRYPTED * 1e3, "bytes": (sent + received) / ENCRYPTED}
            name = "whole" if setting is None else f"clusters_{setting[0]}_neighbours_{setting[1]}"
            for what, value in cost.items():
                row(f"{name}_{what}", value, "ms" if what.endswith("ms") else "B")
                if whole is not None:
                    row(f"{name}_{what}_of_a_whole_search", value / whole[what], "fraction")
            whole = whole or cost
    finally:
        stack.down()
    print(json.dumps({"bench": "private-wordnet", "hardware": hardware(), "rows": rows}))


main()
