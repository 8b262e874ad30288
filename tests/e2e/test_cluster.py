"""Aliases, uploads of vectors, resharding, backup and restore, as a user meets them."""

import json
import struct
import subprocess
import threading
import uuid

import requests

from conftest import BUILD


def name():
    return f"t{uuid.uuid4().hex[:12]}"


def vectors_collection(stack, **more):
    made = name()
    reply = stack.post("/v1/collections", {"name": made, "vectors": {"": {"dimension": 4, "metric": "l2"}}, **more})
    assert reply.status_code == 200, reply.text
    return made


def put(stack, collection, points, **more):
    reply = stack.http.put(f"{stack.url}/v1/collections/{collection}/points", timeout=60,
                           json={"points": [{"id": i, "vector": v} for i, v in points], "wait": True, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def count(stack, collection):
    reply = stack.post(f"/v1/collections/{collection}/points:count", {})
    assert reply.status_code == 200, reply.text
    return int(reply.json()["count"])


def npy(path, rows):
    header = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header +
                     b"".join(struct.pack(f"<{len(r)}f", *r) for r in rows))


def test_an_alias_moves_in_one_step_and_searches_follow(stack, collection):
    other, alias = name(), name()
    assert stack.post("/v1/collections", {"name": other, "embedding_model": "default"}).status_code == 200
    for to, text in ((collection, "a red bicycle"), (other, "a blue boat")):
        stored = stack.post(f"/v1/collections/{to}/documents", {"documents": [{"id": to, "text": text}], "wait": True})
        assert stored.status_code == 200, stored.text
    for to in (collection, other, collection):
        led = stack.http.put(f"{stack.url}/v1/aliases/{alias}", json={"collection": to}, timeout=60)
        assert led.status_code == 200, led.text
        assert led.json() == {"alias": alias, "collection": to}
        for _ in range(2):  # the second answer may come from the cache
            found = stack.post(f"/v1/collections/{alias}/search", {"query": "something to travel with"})
            assert found.status_code == 200, found.text
            assert [h["id"] for h in found.json()["hits"]] == [to]
    # A write under the collection's own name makes cached answers of the alias worthless, and the other way round.
    stack.post(f"/v1/collections/{collection}/documents", {"documents": [{"id": "new", "text": "travel by train"}], "wait": True})
    found = stack.post(f"/v1/collections/{alias}/search", {"query": "something to travel with"}).json()
    assert "new" in {h["id"] for h in found["hits"]}
    assert {"alias": alias, "collection": collection} in stack.get("/v1/aliases?page_size=1000").json()["aliases"]
    refused = stack.http.delete(f"{stack.url}/v1/collections/{collection}", timeout=60)
    assert refused.status_code == 400 and alias in refused.json()["detail"]
    assert stack.http.delete(f"{stack.url}/v1/aliases/{alias}", timeout=60).status_code == 200
    assert stack.post(f"/v1/collections/{alias}/search", {"query": "x"}).status_code == 404


def test_alcovectl_manages_aliases(stack, collection):
    alias = name()
    assert json.loads(stack.ctl("alias", "set", alias, collection, "-o", "json").stdout)["collection"] == collection
    assert alias in stack.ctl("alias", "list").stdout
    stack.ctl("alias", "delete", alias)
    assert alias not in stack.ctl("alias", "list").stdout


def test_vectors_are_uploaded_and_go_on_where_they_stopped(stack, tmp_path):
    collection = vectors_collection(stack)
    source = tmp_path / "v.npy"
    npy(source, [[i, 1, 2, 3] for i in range(5000)])
    first = json.loads(stack.ctl("ingest", collection, str(source), "--limit", "1500", "--batch", "200", "-o", "json").stdout)
    assert first["stored"] == 1500
    second = json.loads(stack.ctl("ingest", collection, str(source), "-o", "json").stdout)
    assert second["skipped"] == 1500 and second["stored"] == 3500
    put(stack, collection, [("4999", [4999, 1, 2, 3])])  # waits for all before it on its shard
    put(stack, collection, [(str(i), [i, 1, 2, 3]) for i in range(50)])
    assert count(stack, collection) == 5000
    found = stack.post(f"/v1/collections/{collection}/points:search", {"vector": [1234, 1, 2, 3], "limit": 1})
    assert found.json()["points"][0]["id"] == "1234"
    wrong = tmp_path / "wrong.npy"
    npy(wrong, [[1, 2, 3]])
    refused = stack.ctl("ingest", collection, str(wrong), check=False)
    assert refused.returncode == 1 and "message 1" in refused.stderr and "points[0]" in refused.stderr


def test_a_collection_is_resharded_while_it_is_searched_and_written(stack):
    collection = vectors_collection(stack, shard_count=1)
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(2000)])
    stop, failures, written = threading.Event(), [], []

    def search():
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {stack.key}"
        i = 0
        while not stop.is_set():
            i = (i + 37) % 2000
            reply = session.post(f"{stack.url}/v1/collections/{collection}/points:search", timeout=60,
                                 json={"vector": [i, 0, 0, 0], "limit": 1, "params": {"exact": True}})
            if reply.status_code != 200 or reply.json()["points"][0]["id"] != f"p{i}":
                failures.append(reply.text)

    def write():
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {stack.key}"
        i = 0
        while not stop.is_set():
            reply = session.put(f"{stack.url}/v1/collections/{collection}/points", timeout=60,
                                json={"points": [{"id": f"w{i}", "vector": [-i - 1, 5, 5, 5]}]})
            if reply.status_code == 200:
                written.append(f"w{i}")
            else:
                failures.append(reply.text)
            i += 1

    threads = [threading.Thread(target=search), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    done = json.loads(stack.ctl("collections", "reshard", collection, "--shards", "2", "-o", "json").stdout)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert done["shard_count"] == 2 and not done.get("active", False)
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(100)])
    assert count(stack, collection) == 2000 + len(written)
    assert stack.get(f"/v1/collections/{collection}/resharding").json()["shard_count"] == 2
    too_many = stack.post(f"/v1/collections/{collection}/resharding", {"shard_count": 9})
    assert too_many.status_code == 400 and "shard_count" in too_many.json()["detail"]


def test_one_collection_is_backed_up_and_restored_beside_the_others(stack, tmp_path):
    collection = vectors_collection(stack)
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(300)])
    file = tmp_path / "one.backup"
    written = json.loads(stack.ctl("backup", str(file), "--collection", collection, "-o", "json").stdout)
    assert written["collections"] == 1 and written["records"] == 300 and not written["whole"]
    assert json.loads(stack.ctl("restore", str(file), "--check", "-o", "json").stdout)["records"] == 300
    copy = name()
    stack.ctl("restore", str(file), "--as", copy)
    put(stack, copy, [(f"p{i}", [i, 0, 0, 0]) for i in range(50)])
    assert count(stack, copy) == 300
    again = stack.ctl("restore", str(file), check=False)
    assert again.returncode == 1 and collection in again.stderr
    damaged = tmp_path / "damaged.backup"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    refused = stack.ctl("restore", str(damaged), "--as", name(), check=False)
    assert refused.returncode == 1 and "damaged at byte" in refused.stderr


def test_a_whole_store_is_restored_into_a_new_one(own_stack, tmp_path):
    stack = own_stack
    collection = vectors_collection(stack)
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(100)])
    made = stack.post("/v1/keys", {"name": "kept", "scopes": ["read"]}).json()
    file = tmp_path / "all.backup"
    stack.ctl("backup", str(file))
    new = tmp_path / "new.db"
    restored = subprocess.run([BUILD / "bin/alcovectl", "restore", file, "--store", f"sqlite:{new}", "-o", "json"],
                              capture_output=True, text=True, timeout=60)
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["whole"]
    stack.down()
    for suffix in ("", "-wal", "-shm"):
        (stack.data / f"data/alcove.db{suffix}").unlink(missing_ok=True)
    new.rename(stack.data / "data/alcove.db")
    stack.up()
    assert count(stack, collection) == 100
    reader = {"Authorization": f"Bearer {made['secret']}"}
    assert requests.get(stack.url + "/v1/collections", headers=reader, timeout=60).status_code == 200
