"""Documents through REST: what the README promises, and what happens to wrong requests."""

import concurrent.futures
import uuid

DOCS = [
    {"id": "graphviz", "text": "rich set of graph drawing tools", "metadata": {"kind": "graphics", "year": 2000}},
    {"id": "cryptsetup", "text": "disk encryption support", "metadata": {"kind": "admin", "year": 2005}},
    {"id": "gimp", "text": "image manipulation program", "metadata": {"kind": "graphics", "year": 1998}},
    {"id": "nginx", "text": "small, powerful, scalable web server", "metadata": {"kind": "net", "year": 2004}},
]


def fill(stack, collection, **more):
    reply = stack.post(f"/v1/collections/{collection}/documents", {"documents": DOCS, "wait": True, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def search(stack, collection, query, **more):
    reply = stack.post(f"/v1/collections/{collection}/search", {"query": query, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_search_finds_documents_by_meaning(stack, collection):
    stored = fill(stack, collection)
    assert stored["ids"] == [d["id"] for d in DOCS]
    assert search(stack, collection, "protect the data on my hard drive")["hits"][0]["id"] == "cryptsetup"
    hits = search(stack, collection, "edit photos", limit=2)["hits"]
    assert len(hits) == 2
    assert hits[0]["id"] == "gimp"
    assert hits[0]["text"] == "image manipulation program"
    assert hits[0]["metadata"] == {"kind": "graphics", "year": 1998}
    assert hits[0]["score"] > hits[1]["score"]


def test_the_same_search_comes_from_the_cache_until_something_is_written(stack, collection):
    fill(stack, collection)
    query = f"drawing {uuid.uuid4().hex}"
    first = search(stack, collection, query)
    second = search(stack, collection, query)
    assert not first.get("cached", False)
    assert second["cached"]
    assert [h["id"] for h in first["hits"]] == [h["id"] for h in second["hits"]]
    reply = stack.post(f"/v1/collections/{collection}/documents",
                       {"documents": [{"id": "new", "text": query}], "wait": True})
    assert reply.status_code == 200, reply.text
    third = search(stack, collection, query)
    assert not third.get("cached", False)
    assert third["hits"][0]["id"] == "new"


def test_bypass_neither_reads_nor_fills_the_cache(stack, collection):
    fill(stack, collection)
    query = f"web {uuid.uuid4().hex}"
    for _ in range(2):
        assert not search(stack, collection, query, cache="CACHE_MODE_BYPASS").get("cached", False)
    assert not search(stack, collection, query).get("cached", False)


def test_filters_keep_to_their_conditions(stack, collection):
    fill(stack, collection)
    only = {"must": [{"match": {"field": "kind", "value": "graphics"}}]}
    assert {h["id"] for h in search(stack, collection, "server", filter=only)["hits"]} == {"graphviz", "gimp"}
    years = {"must": [{"range": {"field": "year", "gte": 2004}}]}
    assert {h["id"] for h in search(stack, collection, "server", filter=years)["hits"]} == {"cryptsetup", "nginx"}
    both = {"must": [{"range": {"field": "year", "lt": 2001}}], "must_not": [{"has_id": {"ids": ["gimp"]}}]}
    assert {h["id"] for h in search(stack, collection, "server", filter=both)["hits"]} == {"graphviz"}


def test_similar_leaves_the_document_itself_out(stack, collection):
    fill(stack, collection)
    for reply in (stack.post(f"/v1/collections/{collection}/similar", {"id": "gimp", "limit": 2}),
                  stack.get(f"/v1/collections/{collection}/documents/gimp/similar?limit=2")):
        assert reply.status_code == 200, reply.text
        ids = [h["id"] for h in reply.json()["hits"]]
        assert ids[0] == "graphviz" and "gimp" not in ids


def test_documents_can_be_read_replaced_and_removed(stack, collection):
    fill(stack, collection)
    path = f"/v1/collections/{collection}/documents"
    assert stack.get(f"{path}/nginx").json()["metadata"]["year"] == 2004
    stack.post(path, {"documents": [{"id": "nginx", "text": "a bakery"}], "wait": True})
    assert stack.get(f"{path}/nginx").json()["text"] == "a bakery"
    removed = stack.http.delete(f"{stack.url}{path}/nginx", timeout=60)
    assert removed.status_code == 200
    found = search(stack, collection, "a bakery", min_sequence=removed.json()["sequence"])
    assert "nginx" not in {h["id"] for h in found["hits"]}
    missing = stack.get(f"{path}/nginx")
    assert missing.status_code == 404
    assert "nginx" in missing.json()["detail"]


def test_a_write_can_be_read_by_its_sequence(stack, collection):
    for i in range(20):
        reply = stack.post(f"/v1/collections/{collection}/documents", {"documents": [{"id": f"d{i}", "text": f"number {i}"}]})
        hits = search(stack, collection, f"number {i}", limit=100, min_sequence=reply.json()["sequence"])["hits"]
        assert f"d{i}" in {h["id"] for h in hits}


def test_many_callers_at_once_get_the_same_answer(stack, collection):
    fill(stack, collection)
    query = f"paint {uuid.uuid4().hex}"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: search(stack, collection, query), range(64)))
    assert len({tuple(h["id"] for h in a["hits"]) for a in answers}) == 1


def problem(reply, status, *words):
    """The reply is a problem+json of this status whose detail holds the words."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/problem+json")
    detail = reply.json()["detail"]
    for word in words:
        assert word in detail, detail


def test_wrong_requests_say_what_is_wrong(stack, collection):
    path = f"/v1/collections/{collection}"
    problem(stack.post("/v1/collections/nowhere/search", {"query": "x"}), 404, "nowhere")
    problem(stack.post(f"{path}/search", {"query": ""}), 400, "query")
    problem(stack.post(f"{path}/search", {"query": "x", "limit": 100000}), 400, "limit")
    problem(stack.post(f"{path}/search", {"query": "x", "limt": 3}), 400, "limt", "limit")
    problem(stack.post(f"{path}/search", {"query": "x", "filter": {"must": [{"match": {"field": "colour", "value": 1}}]}}),
            400, "colour")
    problem(stack.post(f"{path}/documents", {"documents": [{"id": "x", "text": "t", "metadata": {"year": "old"}}]}),
            400, "year")
    problem(stack.post("/v1/collections", {"name": collection, "embedding_model": "default"}), 409, collection)
    problem(stack.post("/v1/collections", {"name": "a b", "embedding_model": "default"}), 400, "name")
    problem(stack.http.post(stack.url + f"{path}/search", data="{\"query\":", timeout=60), 400)
    problem(stack.get("/v1/nothing"), 404)
    assert stack.http.put(stack.url + "/v1/status", timeout=60).status_code == 405


def test_vectors_of_the_wrong_shape_are_refused_whole(stack, collection):
    path = f"/v1/collections/{collection}/points"
    good = {"id": "good", "vector": [0.1] * 384}
    for bad, word in (({"id": "bad", "vector": [0.1] * 3}, "384"), ({"id": "bad", "vector": ["NaN"] + [0.1] * 383}, "points[1]"),
                      ({"id": "", "vector": [0.1] * 384}, "id")):
        reply = stack.http.put(stack.url + path, json={"points": [good, bad], "wait": True}, timeout=60)
        problem(reply, 400, word)
    assert stack.post(f"{path}:get", {"ids": ["good"]}).json().get("points", []) == []


def test_a_body_beyond_the_limit_is_refused_and_the_connection_stays_usable(stack, collection):
    reply = stack.http.post(stack.url + f"/v1/collections/{collection}/search", data=b"x" * (65 << 20), timeout=120)
    assert reply.status_code == 413
    assert stack.get("/v1/status").status_code == 200


def test_keys_are_needed_scoped_and_revocable(stack, collection):
    import requests

    assert requests.get(stack.url + "/v1/collections", timeout=60).status_code == 401
    bad = requests.get(stack.url + "/v1/collections", headers={"Authorization": "Bearer alc_wrong"}, timeout=60)
    assert bad.status_code == 401
    made = stack.post("/v1/keys", {"name": "reader", "scopes": ["read"]}).json()
    reader = {"Authorization": f"Bearer {made['secret']}"}
    assert requests.get(stack.url + "/v1/collections", headers=reader, timeout=60).status_code == 200
    denied = requests.post(f"{stack.url}/v1/collections/{collection}/documents", headers=reader,
                           json={"documents": [{"text": "x"}]}, timeout=60)
    assert denied.status_code == 403, denied.text
    assert stack.http.delete(f"{stack.url}/v1/keys/{made['key']['id']}", timeout=60).status_code == 200
    import time
    deadline = time.monotonic() + 20
    while requests.get(stack.url + "/v1/collections", headers=reader, timeout=60).status_code != 401:
        assert time.monotonic() < deadline, "a revoked key still works"
        time.sleep(0.1)


def test_tenants_do_not_see_each_other(stack, collection):
    import requests

    fill(stack, collection)
    made = stack.post("/v1/keys", {"name": "other", "tenant": "other"}).json()
    other = {"Authorization": f"Bearer {made['secret']}"}
    assert requests.get(f"{stack.url}/v1/collections/{collection}", headers=other, timeout=60).status_code == 404
    names = [c["name"] for c in requests.get(f"{stack.url}/v1/collections", headers=other, timeout=60).json().get("collections", [])]
    assert collection not in names
