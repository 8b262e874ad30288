"""Private search through the real processes: unmodified SEAL clients (node-seal, and TenSEAL where it is installed),
alcovectl, a browser, and everything that can be wrong with a request."""

import importlib.util
import json
import math
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import time
import uuid

import pytest
from conftest import start_stack

HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples/private-search"
OCTETS = "application/octet-stream"
SUBJECTS = ["the lighthouse keeper", "a tax lawyer", "the old violin", "our sourdough bread", "a distant galaxy",
            "the chess champion", "her motorcycle", "a flock of geese", "the royal archive", "a broken radio"]
VERBS = ["dreams of", "was painted beside", "argues about", "is hidden under", "sings to", "was lost near"]
PLACES = ["the northern harbour", "a court of appeal", "the concert hall", "the village bakery", "an observatory",
          "the railway station", "a garage in June", "the frozen lake"]


def documents():
    return [{"id": f"d{i}", "text": f"{s} {v} {p}"} for i, (s, v, p) in enumerate(
        (s, v, p) for s in SUBJECTS for v in VERBS for p in PLACES)]


@pytest.fixture(scope="module")
def texts(stack):
    name = f"p{uuid.uuid4().hex[:12]}"
    reply = stack.post("/v1/collections", {"name": name, "embedding_model": "default"})
    assert reply.status_code == 200, reply.text
    reply = stack.post(f"/v1/collections/{name}/documents", {"documents": documents(), "wait": True})
    assert reply.status_code == 200, reply.text
    yield name
    stack.http.delete(f"{stack.url}/v1/collections/{name}", timeout=60)


@pytest.fixture(scope="module")
def node_example(tmp_path_factory):
    """The JS example with the packages of these tests."""
    folder = tmp_path_factory.mktemp("example")
    for name in ("search.mjs", "private_client.mjs", "package.json"):
        shutil.copy(EXAMPLES / name, folder)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    return folder


def exact(stack, collection, query, limit=10):
    reply = stack.post(f"/v1/collections/{collection}/search",
                       {"query": query, "limit": limit, "params": {"exact": True}, "cache": "bypass"})
    assert reply.status_code == 200, reply.text
    return reply.json()["hits"]


def assert_same(found, wanted):
    """The same documents with the same scores, as far as eight-bit numbers tell them apart."""
    wanted_scores = {hit["id"]: hit["score"] for hit in wanted}
    last = wanted[9]["score"]
    assert len(found) == 10
    for hit in found:
        if hit["id"] in wanted_scores:
            assert abs(hit["score"] - wanted_scores[hit["id"]]) < 0.01
        assert hit["score"] > last - 0.01, "a document that is not among the nearest"
    assert sum(hit["id"] in {w["id"] for w in wanted[:10]} for hit in found) >= 8


def test_node_seal_finds_what_plain_search_finds(stack, texts, node_example):
    query = "music by the sea"
    done = subprocess.run(["node", "search.mjs", texts, query], cwd=node_example, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "ALCOVE": stack.url, "ALCOVE_KEY": stack.key, "ALCOVE_JSON": "1"})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert_same(result["hits"], exact(stack, texts, query, 20))
    known = {d["id"]: d["text"] for d in documents()}
    assert all(hit["text"] == known[hit["id"]] for hit in result["hits"])
    sent = {step["name"]: step["sent"] for step in result["steps"]}
    assert sent["scores computed on ciphertext"] <= 32000
    assert sent["evaluation keys uploaded"] <= 600000


@pytest.fixture(scope="module")
def tenseal_python():
    """A Python that has Microsoft SEAL, or None."""
    python = os.environ.get("ALCOVE_TENSEAL_PYTHON") or sys.executable
    return None if python == sys.executable and importlib.util.find_spec("tenseal") is None else python


def test_tenseal_finds_what_plain_search_finds(stack, texts, tenseal_python):
    if tenseal_python is None:
        pytest.skip("tenseal could not be installed; ALCOVE_TENSEAL_PYTHON may name a Python that has it")
    query = "music by the sea"
    done = subprocess.run([tenseal_python, EXAMPLES / "search.py", texts, query], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "ALCOVE": stack.url, "ALCOVE_KEY": stack.key, "ALCOVE_JSON": "1"})
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout)["hits"], exact(stack, texts, query, 20))


@pytest.fixture(scope="module")
def keys(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys") / "mine"
    stack.ctl("private", "keygen", "--keys", str(folder), "--label", "e2e")
    return folder


def test_alcovectl_keeps_the_secret_to_its_owner(stack, keys):
    assert stat.S_IMODE((keys / "secret.seal").stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    again = stack.ctl("private", "keygen", "--keys", str(keys), check=False)
    assert again.returncode != 0 and "already" in again.stderr
    os.chmod(keys / "secret.seal", 0o644)
    try:
        refused = stack.ctl("private", "search", "x", "y", "--keys", str(keys), check=False)
        assert "can be read by others" in refused.stderr
    finally:
        os.chmod(keys / "secret.seal", 0o600)
    listed = json.loads(stack.ctl("private", "keys", "-o", "json").stdout)
    assert (keys / "key_id").read_text() in [key["key_id"] for key in listed["keys"]]


def test_alcovectl_searches_and_looks_up(stack, texts, keys):
    query = "stars and telescopes"
    result = json.loads(stack.ctl("private", "search", texts, query, "--keys", str(keys), "-o", "json").stdout)
    assert_same(result["hits"], exact(stack, texts, query, 20))
    known = {d["id"]: d["text"] for d in documents()}
    assert all(hit["text"] == known[hit["id"]] for hit in result["hits"])
    found = json.loads(stack.ctl("private", "lookup", texts, "d3", "d470", "--keys", str(keys), "-o", "json").stdout)
    assert [hit["text"] for hit in found["hits"]] == [known["d3"], known["d470"]]
    missing = stack.ctl("private", "lookup", texts, "nobody", "--keys", str(keys), check=False)
    assert missing.returncode != 0 and "nobody" in missing.stderr


def embed(stack, text):
    reply = stack.post("/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": text, "encoding_format": "float"})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"][0]["embedding"]


def test_alcovectl_scores_topics(stack, keys, tmp_path):
    topics = {"music": "concert violin singer orchestra", "law": "court lawyer judge tax", "food": "bread bakery kitchen"}
    vectors = {label: embed(stack, text) for label, text in topics.items()}
    classifier = tmp_path / "topics.json"
    classifier.write_text(json.dumps({"name": "topics", "dimension": 384, "classes": [
        {"label": label, "weights": vector, "bias": 0.25} for label, vector in vectors.items()]}))
    stack.ctl("private", "classifiers", "--put", str(classifier))
    text = "the judge heard the appeal of the company"
    result = json.loads(stack.ctl("private", "score", "topics", text, "--keys", str(keys), "-o", "json").stdout)
    vector = embed(stack, text)
    want = {label: sum(a * b for a, b in zip(vector, weights)) + 0.25 for label, weights in vectors.items()}
    assert result["scores"][0]["label"] == "law"
    for score in result["scores"]:
        assert abs(score["score"] - want[score["label"]]) < 0.01
    assert "topics" in stack.ctl("private", "classifiers").stdout
    stack.ctl("private", "classifiers", "--delete", "topics")
    assert stack.ctl("private", "score", "topics", text, "--keys", str(keys), check=False).returncode != 0


def frames(data):
    at = 0
    while at < len(data):
        json_bytes, data_bytes = struct.unpack_from("<II", data, at)
        yield json.loads(data[at + 8:at + 8 + json_bytes]), data[at + 8 + json_bytes:at + 8 + json_bytes + data_bytes]
        at += 8 + json_bytes + data_bytes


@pytest.fixture(scope="module")
def query(keys, texts, stack, node_example):
    """A valid key id, parameters and encrypted query, made by node-seal."""
    script = node_example / "query.mjs"
    script.write_text("""
import SEAL from 'node-seal/throws_wasm_node_umd.js';
import { PrivateClient } from './private_client.mjs';
const client = await PrivateClient.create(await SEAL(), { url: process.env.ALCOVE, apiKey: process.env.ALCOVE_KEY });
const keyId = await client.uploadKeys('query');
const parameters = await client.collection(process.argv[2]);
const numbers = Array.from({ length: parameters.layout.dimension }, (_, i) => i % 7 - 3);
const parts = client.packQuery(parameters.layout, numbers).map((part) => client.encrypt(part));
console.log(JSON.stringify({ keyId, sequence: parameters.sequence, query: Buffer.concat(parts).toString('base64') }));
""")
    done = subprocess.run(["node", "query.mjs", texts], cwd=node_example, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "ALCOVE": stack.url, "ALCOVE_KEY": stack.key})
    assert done.returncode == 0, done.stderr
    import base64
    out = json.loads(done.stdout)
    out["query"] = base64.b64decode(out["query"])
    return out


def search(stack, collection, made, body=None, accept=OCTETS, key=None, **parameters):
    given = {"key_id": made["keyId"], "collection": collection, "sequence": made["sequence"], **parameters}
    headers = {"content-type": OCTETS, "accept": accept}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return stack.http.post(stack.url + "/v1/private/search", params=given, data=made["query"] if body is None else body,
                           headers=headers, timeout=60)


def test_binary_and_json_answers_say_the_same(stack, texts, query):
    binary = search(stack, texts, query)
    assert binary.status_code == 200 and binary.headers["content-type"] == OCTETS, binary.text
    parts = list(frames(binary.content))
    assert parts[-1][0] == {"end": True}
    facts, scores = parts[0]
    assert facts["rows"] == len(facts["ids"]) and scores[:2] == b"\x5e\xa1" and scores[3:5] == b"\x04\x01"
    import base64
    lines = stack.post("/v1/private/search", {"key_id": query["keyId"], "collection": texts, "sequence": query["sequence"],
                                              "query": base64.b64encode(query["query"]).decode()})
    assert lines.status_code == 200 and lines.headers["content-type"] == "application/x-ndjson", lines.text
    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert rows[-1] == {"end": True} and rows[0]["ids"] == facts["ids"]
    assert base64.b64decode(rows[0]["scores"]) == scores, "the computation is deterministic"
    packed = search(stack, texts, query, compression="zlib", omit_ids="true")
    (facts, scores), _ = frames(packed.content)
    assert not facts.get("ids") and scores[5] == 1


def problem(reply):
    body = reply.json()
    return reply.status_code, body["code"], body.get("reason")


def test_every_bad_request_is_named(stack, texts, query):
    good = query["query"]
    assert problem(search(stack, texts, query, good[:-9])) == (400, "INVALID_ARGUMENT", "FHE_TRUNCATED")
    assert problem(search(stack, texts, query, b"no ciphertext at all, really")) == (400, "INVALID_ARGUMENT", "FHE_BAD_MAGIC")
    flipped = good[:30] + bytes([good[30] ^ 0xff]) + good[31:]
    assert problem(search(stack, texts, query, flipped))[0] == 400
    other_version = bytearray(good)
    other_version[3:5] = b"\x02\x09"
    assert problem(search(stack, texts, query, bytes(other_version))) == (400, "INVALID_ARGUMENT", "FHE_UNSUPPORTED_VERSION")
    assert problem(search(stack, texts, query, good * 40)) [2] in ("TOO_MANY_QUERIES", "FHE_TOO_LARGE")
    assert problem(search(stack, texts, query, b""))[0] == 400
    assert problem(search(stack, texts, query, sequence="")) [0] == 400
    assert problem(search(stack, texts, query, sequence="0:1@feed")) == (400, "FAILED_PRECONDITION", "COLLECTION_CHANGED")
    assert problem(search(stack, texts, query, key_id="0" * 64))[0] == 404
    assert problem(search(stack, "nosuchcollection", query))[0] == 404
    assert problem(search(stack, texts, query, blocks="7"))[0] == 400
    assert problem(search(stack, texts, query, nonsense="1"))[0] == 400
    upload = stack.http.post(stack.url + "/v1/private/keys", params={"parameter_set": "s50"}, data=good[:5000],
                             headers={"content-type": OCTETS}, timeout=60)
    assert upload.status_code == 400 and upload.json()["reason"].startswith("FHE_")
    assert search(stack, texts, query).status_code == 200, "nothing was spoiled"


def test_a_changed_collection_is_noticed_and_followed(stack, query, node_example, texts):
    name = f"c{uuid.uuid4().hex[:12]}"
    assert stack.post("/v1/collections", {"name": name, "embedding_model": "default"}).status_code == 200
    assert stack.post(f"/v1/collections/{name}/documents", {"documents": documents()[:50], "wait": True}).status_code == 200
    first = stack.get(f"/v1/private/collections/{name}").json()
    assert first["rows"] == 50
    made = {**query, "sequence": first["sequence"]}
    stack.post(f"/v1/collections/{name}/documents", {"documents": [{"id": "new", "text": "a new document"}], "wait": True})
    assert problem(search(stack, name, made)) == (400, "FAILED_PRECONDITION", "COLLECTION_CHANGED")
    second = stack.get(f"/v1/private/collections/{name}").json()
    assert second["rows"] == 51 and second["sequence"] != first["sequence"]
    stack.http.delete(f"{stack.url}/v1/collections/{name}/documents/new", timeout=60)
    assert stack.get(f"/v1/private/collections/{name}").json()["rows"] == 50
    stack.http.delete(f"{stack.url}/v1/collections/{name}", timeout=60)
    assert stack.get(f"/v1/private/collections/{name}").status_code == 404


def test_keys_and_collections_stay_within_their_tenant(stack, texts, query):
    made = json.loads(stack.ctl("key", "create", "rival", "--scope", "read,write", "--tenant", "rival", "-o", "json").stdout)
    assert problem(search(stack, texts, query, key=made["secret"]))[0] == 404
    reply = stack.http.get(f"{stack.url}/v1/private/collections/{texts}", timeout=60,
                           headers={"authorization": f"Bearer {made['secret']}"})
    assert reply.status_code == 404


def test_a_revoked_key_is_refused_for_ever(stack, texts, tmp_path):
    folder = tmp_path / "lost"
    stack.ctl("private", "keygen", "--keys", str(folder))
    stack.ctl("private", "revoke", "--keys", str(folder))
    refused = stack.ctl("private", "search", texts, "anything", "--keys", str(folder), check=False)
    assert refused.returncode != 0 and "revoked" in refused.stderr


needs_chromium = pytest.mark.skipif(not os.path.exists(os.environ.get("CHROMIUM", "/usr/bin/chromium")),
                                    reason="chromium is not installed")


@needs_chromium
def test_the_page_searches_in_a_browser(stack, texts, tmp_path):
    query = "music by the sea"
    done = subprocess.run(["node", "private_page.mjs", stack.url, stack.key, texts, query,
                           os.environ.get("ALCOVE_SCREENSHOT", str(tmp_path / "page.png"))],
                          cwd=HERE, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["message"].startswith("Done"), shown
    assert shown["elsewhere"] == [] and shown["errors"] == []
    assert_same([{"score": float(score), "id": row_id} for score, row_id, _ in shown["private"]],
                exact(stack, texts, query, 20))
    known = {d["id"]: d["text"] for d in documents()}
    assert all(text == known[row_id] for _, row_id, text in shown["private"])
    assert len(shown["plain"]) == 10
    assert any("ciphertext" in row[0] for row in shown["steps"])


def test_a_resharded_collection_is_searched_as_before_and_goes_on_being_followed(stack, tmp_path):
    name = f"p{uuid.uuid4().hex[:12]}"
    assert stack.post("/v1/collections", {"name": name, "embedding_model": "default"}).status_code == 200
    stored = stack.post(f"/v1/collections/{name}/documents", {"documents": documents()[:100], "wait": True})
    assert stored.status_code == 200, stored.text
    keys = str(tmp_path / "keys")
    stack.ctl("private", "keygen", "--keys", keys)
    search = lambda: json.loads(stack.ctl("private", "search", name, "fresh", "bread", "--keys", keys, "-o", "json").stdout)["hits"]
    before = [(hit["id"], hit["score"]) for hit in search()]
    stack.ctl("collections", "reshard", name, "--shards", "1")
    assert sorted((hit["id"], hit["score"]) for hit in search()) == sorted(before)
    stored = stack.post(f"/v1/collections/{name}/documents", {"documents": [{"id": "new", "text": "fresh bread"}], "wait": True})
    assert stored.status_code == 200, stored.text
    assert search()[0]["id"] == "new"
    assert stack.http.delete(f"{stack.url}/v1/collections/{name}", timeout=60).status_code == 200


@pytest.fixture(scope="module")
def clustered_stack():
    """A stack that cuts collections of 160 documents or more into clusters of about 40, with such a one, `large`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALCOVE_FHE_PROXY__DATABASE__CLUSTER_ROWS", "40")
        running = start_stack()
    assert running.post("/v1/collections", {"name": "large", "embedding_model": "default"}).status_code == 200
    stored = running.post("/v1/collections/large/documents", {"documents": documents(), "wait": True})
    assert stored.status_code == 200, stored.text
    yield running
    running.down()
    shutil.rmtree(running.data, ignore_errors=True)


def test_all_clients_name_the_same_clusters_and_decoys(clustered_stack, node_example, tenseal_python, tmp_path):
    stack = clustered_stack
    keys, flags = str(tmp_path / "keys"), ("--clusters", "2", "--neighbours", "3")
    environment = {**os.environ, "ALCOVE": stack.url, "ALCOVE_KEY": stack.key, "ALCOVE_JSON": "1"}

    def example(*command, folder=keys):
        done = subprocess.run([*command, "--keys", folder, *flags, "large", query], cwd=node_example, capture_output=True, text=True,
                              timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    query = "stars and telescopes"
    # The example makes the secret; alcovectl keeps the one it finds.
    by_node = example("node", "search.mjs")
    secret = tmp_path / "keys/group_secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_text().strip()) == 64
    stack.ctl("private", "keygen", "--keys", keys)
    by_ctl = json.loads(stack.ctl("private", "search", "large", *query.split(), "--keys", keys, "-o", "json", *flags).stdout)
    assert by_node["named_blocks"] == by_ctl["named_blocks"] != []
    assert [hit["id"] for hit in by_node["hits"]] == [hit["id"] for hit in by_ctl["hits"]]
    known = {d["id"]: d["text"] for d in documents()}
    assert all(hit["text"] == known[hit["id"]] for hit in by_node["hits"])
    if tenseal_python:
        by_python = example(tenseal_python, str(EXAMPLES / "search.py"))
        assert by_python["named_blocks"] == by_ctl["named_blocks"]
        assert [hit["id"] for hit in by_python["hits"]] == [hit["id"] for hit in by_ctl["hits"]]
    # The groups are the secret's: others name other blocks for some of these.
    others = [example("node", "search.mjs", folder=str(tmp_path / f"other{i}"))["named_blocks"] for i in range(3)]
    assert any(blocks != by_ctl["named_blocks"] for blocks in others)
    secret.chmod(0o644)
    for refused in (stack.ctl("private", "search", "large", "x", "--keys", keys, check=False),
                    subprocess.run(["node", "search.mjs", "--keys", keys, *flags, "large", query], cwd=node_example, env=environment,
                                   capture_output=True, text=True, timeout=60)):
        assert refused.returncode != 0 and "can be read by others" in refused.stderr
    secret.chmod(0o600)
    secret.write_text("no secret\n")
    refused = stack.ctl("private", "search", "large", "x", "--keys", keys, check=False)
    assert refused.returncode != 0 and "64 hexadecimal digits" in refused.stderr


@needs_chromium
def test_the_page_names_the_same_clusters_again(clustered_stack, tmp_path):
    stack = clustered_stack
    done = subprocess.run(["node", "private_page.mjs", stack.url, stack.key, "large", "stars and telescopes",
                           str(tmp_path / "page.png"), "1"], cwd=HERE, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["message"].startswith("Done"), shown
    assert shown["elsewhere"] == [] and shown["errors"] == []
    # The secret outlives the page, the key does not.
    first, second = shown["named"]
    assert first == second != []
    assert f"{len(first)} of " in shown["overlap"] and len(shown["private"]) == 10


def test_a_search_of_named_clusters_and_decoys(clustered_stack, tmp_path):
    stack = clustered_stack
    parameters = stack.get("/v1/private/collections/large", params={"with_clusters": "true"}).json()
    clusters, layout = parameters["clusters"], parameters["layout"]
    assert len(clusters) == 12 and parameters["rows"] == 480
    named = [block for cluster in clusters for block in cluster["blocks"]]
    assert sorted(named) == list(range(layout["blocks"])), "every block is one cluster's"
    assert not stack.get("/v1/private/collections/large").json().get("clusters")

    # Which decoys there are decides what is found by the way: always the same here.
    keys = str(tmp_path / "keys")
    os.mkdir(keys, 0o700)
    with open(os.open(f"{keys}/group_secret", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("5a" * 32)
    stack.ctl("private", "keygen", "--keys", keys)

    def search(query, *flags):
        found = json.loads(stack.ctl("private", "search", "large", *query.split(), "--keys", keys, "-o", "json", *flags).stdout)
        return found["hits"], next(s for s in found["steps"] if "ciphertext" in s["step"])["received_bytes"]

    overlap, nearest, known = [], 0, {d["id"]: d["text"] for d in documents()}
    for query in ("music by the sea", "stars and telescopes", "justice", "freshly baked bread", "a game of kings"):
        everything, all_bytes = search(query)
        assert_same(everything, exact(stack, "large", query, 20))
        some, bytes_received = search(query, "--clusters", "2", "--neighbours", "4")
        assert bytes_received < all_bytes * 0.75
        assert all(hit["text"] == known[hit["id"]] for hit in some)
        scores = {hit["id"]: hit["score"] for hit in everything}
        assert all(abs(hit["score"] - scores[hit["id"]]) < 1e-6 for hit in some if hit["id"] in scores)
        nearest += some[0]["id"] == everything[0]["id"]
        overlap.append(len({hit["id"] for hit in some} & set(scores)))
    # Part of the collection holds most of the nearest, not always all: that is what naming clusters gives up.
    assert sum(overlap) >= 35 and nearest >= 4, (overlap, nearest)
    # Groups of more clusters than half of what there is are the whole collection.
    assert search("justice", "--clusters", "7")[0] == search("justice")[0]
    found = json.loads(stack.ctl("private", "lookup", "large", "d3", "d470", "--keys", keys, "-o", "json").stdout)
    assert [hit["text"] for hit in found["hits"]] == [known["d3"], known["d470"]]
    # A new document goes to its cluster.
    stack.post("/v1/collections/large/documents", {"documents": [{"id": "new", "text": "justice"}], "wait": True})
    assert search("justice", "--clusters", "2")[0][0]["id"] == "new"


def test_a_restart_keeps_keys_and_encoded_rows(own_stack):
    stack = own_stack
    assert stack.post("/v1/collections", {"name": "kept", "embedding_model": "default"}).status_code == 200
    stack.post("/v1/collections/kept/documents", {"documents": documents()[:100], "wait": True})
    folder = stack.data / "keys"
    stack.ctl("private", "keygen", "--keys", str(folder))
    before = json.loads(stack.ctl("private", "search", "kept", "bread", "--keys", str(folder), "-o", "json").stdout)
    process = stack.process("fhe-proxy")
    os.kill(process["pid"], 9)
    stack.wait_ready("fhe-proxy", pid_not=process["pid"])
    # The gateway tries again within its longest pause, 2 s.
    deadline = time.monotonic() + 20
    while (listed := stack.get("/v1/private/keys")).status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert listed.status_code == 200 and len(listed.json()["keys"]) == 1, listed.text
    after = json.loads(stack.ctl("private", "search", "kept", "bread", "--keys", str(folder), "-o", "json").stdout)
    assert [hit["id"] for hit in after["hits"]] == [hit["id"] for hit in before["hits"]]
    assert math.isclose(after["hits"][0]["score"], before["hits"][0]["score"], abs_tol=1e-9)
