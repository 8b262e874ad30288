"""The whole suite on PostgreSQL instead of the embedded store."""

import os
import shutil
import signal
import time

import pytest

from conftest import start_stack
from postgres import Postgres


@pytest.fixture
def postgres():
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def stack_on_postgres(postgres):
    running = start_stack(["--store", postgres.url])
    yield running
    running.down()
    shutil.rmtree(running.data, ignore_errors=True)


def answer(stack, collection, body, seconds=30):
    """Repeats a search while processes come back."""
    deadline = time.monotonic() + seconds
    while True:
        reply = stack.post(f"/v1/collections/{collection}/search", body)
        if reply.status_code == 200 or time.monotonic() > deadline:
            return reply
        assert reply.status_code in (503, 504), reply.text
        time.sleep(0.1)


def test_documents_live_in_postgresql_and_outlive_every_process(stack_on_postgres, postgres):
    stack = stack_on_postgres
    created = stack.post("/v1/collections", {"name": "pg", "embedding_model": "default", "schema": {"n": "integer"}})
    assert created.status_code == 200, created.text
    documents = [{"id": f"d{i}", "text": f"text number {i}", "metadata": {"n": i}} for i in range(200)]
    for start in range(0, 200, 50):
        stored = stack.post("/v1/collections/pg/documents", {"documents": documents[start:start + 50]})
        assert stored.status_code == 200, stored.text
    sequence = stored.json()["sequence"]
    found = stack.post("/v1/collections/pg/search", {"query": "text number 7", "limit": 200, "min_sequence": sequence})
    assert found.status_code == 200, found.text
    assert {h["id"] for h in found.json()["hits"]} == {d["id"] for d in documents}
    assert not list(stack.data.glob("data/*.db")), "no embedded store beside it"

    # Shards that lost their process and their snapshots rebuild from PostgreSQL.
    for name in ("vector-search-0", "vector-search-1"):
        pid = stack.process(name)["pid"]
        shutil.rmtree(stack.data / "data" / name)
        os.kill(pid, signal.SIGKILL)
        stack.wait_ready(name, pid_not=pid)
    filtered = answer(stack, "pg", {"query": "text", "limit": 100, "cache": "bypass", "min_sequence": sequence,
                                    "filter": {"must": [{"range": {"field": "n", "gte": 150}}]}})
    assert filtered.status_code == 200, filtered.text
    assert {h["id"] for h in filtered.json()["hits"]} == {f"d{i}" for i in range(150, 200)}

    key = stack.key
    stack.down()
    stack.up(["--store", postgres.url])
    assert stack.key == key
    assert answer(stack, "pg", {"query": "text number 7", "limit": 3}).status_code == 200
    assert stack.post("/v1/collections/pg/points:count", {}).json()["count"] == 200


def test_without_postgresql_writes_fail_whole_and_searches_go_on(stack_on_postgres, postgres):
    stack = stack_on_postgres
    assert stack.post("/v1/collections", {"name": "pg", "embedding_model": "default"}).status_code == 200
    stored = stack.post("/v1/collections/pg/documents", {"documents": [{"id": "a", "text": "a lighthouse"}], "wait": True})
    assert stored.status_code == 200, stored.text
    postgres.stop()
    refused = stack.post("/v1/collections/pg/documents", {"documents": [{"id": "b", "text": "a tower"}]},
                         headers={"x-request-timeout": "5s"})
    assert refused.status_code in (503, 504), refused.text
    found = stack.post("/v1/collections/pg/search", {"query": "sea", "cache": "bypass"})
    assert found.status_code == 200 and [h["id"] for h in found.json()["hits"]] == ["a"], found.text
    postgres.start()
    deadline = time.monotonic() + 30
    while True:
        stored = stack.post("/v1/collections/pg/documents", {"documents": [{"id": "c", "text": "a beacon"}], "wait": True})
        if stored.status_code == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert stored.status_code == 200, stored.text
    got = stack.post("/v1/collections/pg/points:get", {"ids": ["a", "b", "c"]}).json()["points"]
    # A refused write is not there, in whole or in part, unless its commit was what was lost in the crash.
    assert {p["id"] for p in got} - {"b"} == {"a", "c"}


def test_a_store_that_cannot_be_reached_is_named_at_the_start(tmp_path):
    with pytest.raises(RuntimeError) as failed:
        start_stack(["--store", f"postgresql://alcove@/nothing?host={tmp_path}"])
    text = str(failed.value)
    assert "PostgreSQL" in text or "postgresql" in text or "connect" in text
    assert str(tmp_path) in text
