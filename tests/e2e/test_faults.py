"""What happens when processes die: nothing acknowledged is lost, and what can be served is served."""

import os
import signal
import threading
import time

import requests


def ids_of(stack, collection):
    found, token = set(), ""
    while True:
        reply = stack.post(f"/v1/collections/{collection}/points:scroll", {"page_size": 1000, "page_token": token,
                                                                           "payload": {"none": True}})
        assert reply.status_code == 200, reply.text
        page = reply.json()
        found.update(p["id"] for p in page.get("points", []))
        token = page.get("next_page_token", "")
        if not token:
            return found


def test_killing_shards_in_the_middle_of_an_ingest_loses_nothing_acknowledged(own_stack):
    stack = own_stack
    assert stack.post("/v1/collections", {"name": "crash", "embedding_model": "default"}).status_code == 200
    acknowledged, stop = set(), threading.Event()

    def write(worker):
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {stack.key}"
        batch = 0
        while not stop.is_set():
            ids = [f"w{worker}-{batch}-{i}" for i in range(8)]
            try:
                reply = session.post(f"{stack.url}/v1/collections/crash/documents", timeout=30,
                                     json={"documents": [{"id": i, "text": f"document {i}"} for i in ids]})
                if reply.status_code == 200:
                    acknowledged.update(ids)
            except requests.RequestException:
                pass
            batch += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    # Each node both holds a shard and writes the log for the calls it coordinates.
    for name in ("vector-search-0", "vector-search-1", "vector-search-0"):
        time.sleep(1.5)
        pid = stack.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        stack.wait_ready(name, pid_not=pid)
    time.sleep(1.5)
    stop.set()
    for writer in writers:
        writer.join()
    assert len(acknowledged) > 50
    deadline = time.monotonic() + 60
    while True:
        missing = acknowledged - ids_of(stack, "crash")
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged documents are missing: {sorted(missing)[:5]}"
    one = sorted(acknowledged)[0]
    found = stack.post("/v1/collections/crash/search", {"query": f"document {one}", "limit": 1000})
    assert one in {h["id"] for h in found.json()["hits"]}


def test_everything_comes_back_after_a_clean_stop(own_stack):
    stack = own_stack
    created = stack.post("/v1/collections", {"name": "kept", "embedding_model": "default"})
    assert created.status_code == 200, created.text
    stored = stack.post("/v1/collections/kept/documents",
                        {"documents": [{"id": f"d{i}", "text": f"text number {i}"} for i in range(50)]})
    assert stored.status_code == 200, stored.text
    key = stack.key
    stack.down()
    stack.up()
    assert stack.key == key
    assert ids_of(stack, "kept") == {f"d{i}" for i in range(50)}
    # A node that says it is ready can be reached by the others: there is nothing to wait for.
    found = stack.post("/v1/collections/kept/search", {"query": "text number 7", "limit": 5})
    assert found.status_code == 200, found.text
    assert "d7" in {h["id"] for h in found.json()["hits"]}


def test_searches_go_on_without_redis_and_without_the_cache(own_stack):
    stack = own_stack
    created = stack.post("/v1/collections", {"name": "c", "embedding_model": "default"})
    assert created.status_code == 200, created.text
    stack.post("/v1/collections/c/documents", {"documents": [{"id": "a", "text": "a lighthouse"}], "wait": True})
    for name in ("redis", "cache"):
        pid = stack.process(name)["pid"]
        os.kill(pid, signal.SIGKILL)
        for i in range(10):
            reply = stack.post("/v1/collections/c/search", {"query": f"sea {name} {i}"})
            assert reply.status_code == 200, reply.text
            assert reply.json()["hits"][0]["id"] == "a"
        stack.wait_ready(name, pid_not=pid)


def test_without_a_model_server_the_error_says_so(own_stack):
    stack = own_stack
    created = stack.post("/v1/collections", {"name": "c", "embedding_model": "default"})
    assert created.status_code == 200, created.text
    pid = stack.process("inference")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        reply = stack.post("/v1/collections/c/search", {"query": "x"}, headers={"x-request-timeout": "1s"})
        assert reply.status_code in (503, 504), reply.text
    finally:
        os.kill(pid, signal.SIGCONT)
    assert stack.post("/v1/collections/c/search", {"query": "y"}).status_code == 200
