"""Aliases, uploads of vectors, resharding, backup and restore, as a user meets them."""

import hashlib
import json
import struct
import subprocess
import threading
import time
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


def ended(stack, path):
    """The job at `path` once it no longer runs."""
    deadline = time.monotonic() + 60
    while True:
        reply = stack.get(path)
        assert reply.status_code == 200, reply.text
        job = reply.json()
        if job["state"] != "JOB_STATE_RUNNING" or time.monotonic() > deadline:
            return job
        time.sleep(0.05)


def test_the_server_keeps_backups_and_restores_them(stack):
    collection, copy, backup = vectors_collection(stack), name(), name()
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(300)])
    begun = stack.post("/v1/backups", {"name": backup, "collection": collection})
    assert begun.status_code == 200, begun.text
    assert begun.json()["name"] == backup and begun.json()["state"] == "JOB_STATE_RUNNING"
    made = ended(stack, f"/v1/backups/{backup}")
    assert made["state"] == "JOB_STATE_COMPLETE" and made["collection"] == collection and int(made["records"]) == 300, made
    file, = (stack.data / "data/backups").glob(f"*/{backup}/*.backup")
    assert file.stat().st_size == int(made["bytes"])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == made["sha256"]
    assert stack.post("/v1/backups", {"name": backup, "collection": collection}).status_code == 409
    # The file is one of those `alcovectl restore` reads.
    assert json.loads(stack.ctl("restore", str(file), "--check", "-o", "json").stdout)["records"] == 300

    taken = stack.post(f"/v1/backups/{backup}/restore", {})
    assert taken.status_code == 409 and collection in taken.json()["detail"]
    begun = stack.post(f"/v1/backups/{backup}/restore", {"collection": copy})
    assert begun.status_code == 200, begun.text
    assert ended(stack, f"/v1/backups/{backup}/restore")["state"] == "JOB_STATE_COMPLETE"
    put(stack, copy, [("new", [7, 7, 7, 7])])
    assert count(stack, copy) == 301 and count(stack, collection) == 300

    # Lost and brought back under its own name, which a search of the moment before has cached nothing of.
    assert stack.http.delete(f"{stack.url}/v1/collections/{collection}", timeout=60).status_code == 200
    assert stack.post(f"/v1/collections/{collection}/points:count", {}).status_code == 404
    assert stack.post(f"/v1/backups/{backup}/restore", {}).status_code == 200
    assert ended(stack, f"/v1/backups/{backup}/restore")["state"] == "JOB_STATE_COMPLETE"
    put(stack, collection, [("p0", [0, 0, 0, 0])])
    assert count(stack, collection) == 300

    listed = stack.get("/v1/backups").json()["backups"]
    assert backup in [b["name"] for b in listed]
    reader = stack.post("/v1/keys", {"name": name(), "scopes": ["read", "write"]}).json()["secret"]
    for method, path in (("GET", "/v1/backups"), ("POST", "/v1/backups"), ("DELETE", f"/v1/backups/{backup}"),
                         ("POST", f"/v1/backups/{backup}/restore")):
        refused = requests.request(method, stack.url + path, json={}, timeout=60, headers={"Authorization": f"Bearer {reader}"})
        assert refused.status_code == 403, f"{method} {path}: {refused.text}"
    for bad in ("..", "a%2Fb", "%2e%2e%2fx", ".x"):
        reply = stack.get(f"/v1/backups/{bad}")
        assert reply.status_code in (400, 404) and "root:" not in reply.text, f"{bad}: {reply.status_code}"
    assert stack.http.delete(f"{stack.url}/v1/backups/{backup}", timeout=60).status_code == 200
    assert stack.get(f"/v1/backups/{backup}").status_code == 404
    assert not file.exists()


def test_backups_are_made_listed_and_restored_from_the_command_line(stack):
    collection, copy, backup = vectors_collection(stack), name(), name()
    put(stack, collection, [(f"p{i}", [i, 0, 0, 0]) for i in range(50)])
    made = json.loads(stack.ctl("backups", "create", collection, "--name", backup, "-o", "json").stdout)
    assert made["state"] == "JOB_STATE_COMPLETE" and int(made["records"]) == 50
    assert backup in stack.ctl("backups", "list").stdout
    assert "restored" in stack.ctl("backups", "restore", backup, "--as", copy).stdout
    put(stack, copy, [("p0", [0, 0, 0, 0])])
    assert count(stack, copy) == 50
    again = stack.ctl("backups", "restore", backup, "--as", copy, check=False)
    assert again.returncode == 1 and copy in again.stderr
    stack.ctl("backups", "delete", backup)
    assert backup not in stack.ctl("backups", "list").stdout


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
