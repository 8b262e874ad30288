"""Searches by meaning, words and both, recommendations, groups, facets and single-vector updates, through REST and grpcio."""

import json
import uuid

import grpc
import pytest

from test_documents import problem

DOCS = [
    {"id": "graphviz", "text": "rich set of graph drawing tools", "metadata": {"kind": "graphics", "year": 2000}},
    {"id": "cryptsetup", "text": "disk encryption support for LUKS volumes", "metadata": {"kind": "admin", "year": 2005}},
    {"id": "gimp", "text": "image manipulation program", "metadata": {"kind": "graphics", "year": 1998}},
    {"id": "inkscape", "text": "vector based drawing program for SVG images", "metadata": {"kind": "graphics", "year": 2003}},
    {"id": "nginx", "text": "small, powerful, scalable web server", "metadata": {"kind": "net", "year": 2004}},
    {"id": "wireshark", "text": "network traffic analyzer", "metadata": {"kind": "net", "year": 2006}},
]


@pytest.fixture
def docs(stack, collection):
    reply = stack.post(f"/v1/collections/{collection}/documents", {"documents": DOCS, "wait": True})
    assert reply.status_code == 200, reply.text
    return f"/v1/collections/{collection}"


def ok(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()


def ids(reply, key="hits"):
    return [hit["id"] for hit in ok(reply)[key]]


def test_a_new_collection_has_a_text_index(stack, docs):
    described = ok(stack.get(docs))
    assert described["sparse"]["text"]["text_field"] == "text"


def test_words_find_what_meaning_does_not_and_hybrid_finds_both(stack, docs):
    words = ok(stack.post(f"{docs}/search", {"query": "LUKS", "mode": "text"}))
    assert [h["id"] for h in words["hits"]] == ["cryptsetup"]
    assert "embed" not in {t["stage"] for t in words["timings"]}
    assert ids(stack.get(f"{docs}/search?query=svg%20drawing&mode=text")) == ["inkscape", "graphviz"]
    hybrid = ok(stack.post(f"{docs}/search", {"query": "edit photos with SVG", "mode": "hybrid", "limit": 3}))
    assert {"gimp", "inkscape"} <= {h["id"] for h in hybrid["hits"]}
    weighted = stack.post(f"{docs}/search", {
        "query": "LUKS pictures", "mode": "SEARCH_MODE_HYBRID", "limit": 1,
        "hybrid": {"fusion": {"method": "weighted"}, "dense_weight": 0.01, "text_weight": 5}})
    assert ids(weighted) == ["cryptsetup"]
    only = {"must": [{"match": {"field": "kind", "value": "net"}}]}
    assert set(ids(stack.post(f"{docs}/search", {"query": "drawing program", "mode": "hybrid", "filter": only}))) == {
        "nginx", "wireshark"}


def test_highlights_mark_the_words(stack, docs):
    hit = ok(stack.post(f"{docs}/search", {"query": "drawing", "mode": "text", "limit": 1, "highlight": {}}))["hits"][0]
    assert hit["highlights"][0].count("<em>drawing</em>") == 1


def test_groups_and_diversity(stack, docs):
    grouped = ok(stack.post(f"{docs}/search", {"query": "drawing program", "group_by": {"field": "kind", "group_size": 2}}))
    assert grouped["groups"][0]["value"] == "graphics" and len(grouped["groups"][0]["hits"]) == 2
    assert {g["value"] for g in grouped["groups"]} == {"graphics", "admin", "net"}
    again = ok(stack.post(f"{docs}/search", {"query": "drawing program", "group_by": {"field": "kind", "group_size": 2}}))
    assert again["cached"] and again["groups"] == grouped["groups"]
    plain = ids(stack.post(f"{docs}/search", {"query": "drawing program", "limit": 3}))
    spread = ids(stack.post(f"{docs}/search", {"query": "drawing program", "limit": 3,
                                               "diversity": {"method": "dpp", "lambda": 0.1}}))
    assert plain[0] == spread[0] and set(plain) != set(spread)


def test_recommend_facet_and_count(stack, docs):
    liked = ok(stack.post(f"{docs}/points:recommend", {"positive": ["gimp"], "limit": 1}))
    assert liked["points"][0]["id"] == "inkscape"
    best = stack.post(f"{docs}/points:recommend", {"positive": ["gimp", "nginx"], "negative": ["cryptsetup"],
                                                   "strategy": "best_score", "limit": 3})
    assert set(ids(best, "points")) <= {"inkscape", "graphviz", "wireshark"}
    facet = ok(stack.post(f"{docs}/points:facet", {"field": "kind"}))
    assert [(c["value"], c["count"]) for c in facet["counts"]] == [("graphics", 3), ("net", 2), ("admin", 1)]
    assert facet["exact"]
    newer = {"must": [{"range": {"field": "year", "gte": 2004}}]}
    assert ok(stack.post(f"{docs}/points:count", {"filter": newer}))["count"] == 3
    assert [(c["value"], c["count"]) for c in
            ok(stack.post(f"{docs}/points:facet", {"field": "kind", "filter": newer, "limit": 1}))["counts"]] == [("net", 2)]
    problem(stack.post(f"{docs}/points:facet", {"field": "knd"}), 400, "did you mean \"kind\"")
    problem(stack.post(f"{docs}/points:recommend", {"positive": ["nobody"]}), 404, "nobody")


def test_an_update_of_metadata_is_seen_by_searches_at_once(stack, docs):
    query = {"query": "web server", "filter": {"must": [{"match": {"field": "kind", "value": "http"}}]}}
    assert ids(stack.post(f"{docs}/search", query)) == []
    reply = stack.http.patch(f"{stack.url}{docs}/points", json={
        "updates": [{"id": "nginx", "payload": {"kind": "http"}}], "wait": True}, timeout=60)
    assert ok(reply)["updated"] == 1
    assert ids(stack.post(f"{docs}/search", query)) == ["nginx"]
    assert ok(stack.get(f"{docs}/documents/nginx"))["metadata"] == {"kind": "http", "year": 2004}


@pytest.fixture
def places(stack):
    name = f"t{uuid.uuid4().hex[:12]}"
    ok(stack.post("/v1/collections", {
        "name": name,
        "vectors": {"": {"dimension": 2}, "pic": {"dimension": 3, "metric": "l2"}},
        "sparse": {"words": {"text_field": "about", "text": {"language": "english"}}, "splade": {"idf": False}},
        "schema": {"place": "geo", "about": "text", "at": "datetime"}}))
    ok(stack.http.put(f"{stack.url}/v1/collections/{name}/points", timeout=60, json={"wait": True, "points": [
        {"id": "berlin", "vector": [1, 0], "named_vectors": {"pic": {"values": [1, 1, 1]}},
         "sparse_vectors": {"splade": {"indices": [1, 7], "values": [0.5, 2]}},
         "payload": {"about": "Museums and lakes", "place": {"lat": 52.52, "lon": 13.4}, "at": "2024-05-01T12:00:00Z"}},
        {"id": "paris", "vector": [1, 1], "named_vectors": {"pic": {"values": [9, 9, 9]}},
         "payload": {"about": "A museum of impressionist painting", "place": {"lat": 48.86, "lon": 2.35}}},
        {"id": "sydney", "vector": [0, 1], "sparse_vectors": {"splade": {"indices": [7], "values": [1]}},
         "payload": {"about": "Beaches", "place": {"lat": -33.87, "lon": 151.2}}}]}))
    yield f"/v1/collections/{name}"
    stack.http.delete(f"{stack.url}/v1/collections/{name}", timeout=60)


def test_geo_text_and_time_filters(stack, places):
    def only(condition):
        return ids(stack.post(f"{places}/points:search", {"vector": [1, 0], "filter": {"must": [condition]}}), "points")

    assert only({"geo_radius": {"field": "place", "center": {"lat": 52.4, "lon": 13.1}, "radius_m": 30000}}) == ["berlin"]
    assert only({"geo_box": {"field": "place", "top_left": {"lat": 60, "lon": 0}, "bottom_right": {"lat": 40, "lon": 20}}}) == [
        "berlin", "paris"]
    assert only({"geo_polygon": {"field": "place", "exterior": {"points": [
        {"lat": -40, "lon": 140}, {"lat": -40, "lon": 160}, {"lat": -20, "lon": 150}]}}}) == ["sydney"]
    assert only({"match_text": {"field": "about", "text": "museum painting"}}) == ["paris"]
    assert only({"match_text": {"field": "about", "text": "and lakes", "mode": "phrase"}}) == ["berlin"]
    assert only({"range": {"field": "at", "lt": "2025-01-01T00:00:00+01:00"}}) == ["berlin"]
    problem(stack.post(f"{places}/points:search", {"vector": [1, 0], "filter": {"must": [
        {"geo_radius": {"field": "place", "center": {"lat": 91, "lon": 0}, "radius_m": 1}}]}}), 400, "latitude")
    nested = {"match_text": {"field": "about", "text": "x"}}
    for _ in range(9):
        nested = {"filter": {"must": [nested]}}
    problem(stack.post(f"{places}/points:search", {"vector": [1, 0], "filter": {"must": [nested]}}), 400, "8 deep")


def test_sparse_fused_and_named_vectors(stack, places):
    def search(**query):
        return ids(stack.post(f"{places}/points:search", query), "points")

    assert search(text="museums") == ["berlin", "paris"]
    assert search(sparse={"indices": [7], "values": [1]}) == ["berlin", "sydney"]
    assert search(vector=[9, 9, 8], vector_name="pic", limit=1) == ["paris"]
    assert search(prefetch=[{"vector": [0, 1]}, {"text": "beaches"}, {"sparse": {"indices": [7], "values": [1]}}])[0] == "sydney"
    patched = stack.http.patch(f"{stack.url}{places}/points", timeout=60, json={"wait": True, "updates": [
        {"id": "berlin", "named_vectors": {"pic": {"values": [9, 9, 8]}}, "remove_vectors": ["splade"]}]})
    assert ok(patched)["updated"] == 1
    assert search(vector=[9, 9, 8], vector_name="pic", limit=1) == ["berlin"]
    assert search(sparse={"indices": [7], "values": [1]}) == ["sydney"]
    point = ok(stack.post(f"{places}/points:get", {"ids": ["berlin"], "with_vectors": True}))["points"][0]
    assert point["vector"] == [1, 0] and "splade" not in point.get("sparse_vectors", {})
    assert point["payload"]["about"] == "Museums and lakes"
    problem(stack.post(f"{places}/points:search", {"text": "x", "vector_name": "wrds"}), 400, "did you mean \"words\"")
    problem(stack.post(f"{places}/points:search", {"sparse": {"indices": [2, 1], "values": [1, 1]}}), 400, "sparse")


def test_the_same_through_grpc(stack, protos, docs):
    from alcove.gateway.v1 import gateway_pb2, gateway_pb2_grpc
    from alcove.vector.v1 import vector_pb2, vector_pb2_grpc

    auth = (("authorization", f"Bearer {stack.key}"),)
    name = docs.rsplit("/", 1)[1]
    with grpc.insecure_channel(stack.address) as channel:
        documents = gateway_pb2_grpc.DocumentServiceStub(channel)
        reply = documents.Search(gateway_pb2.SearchRequest(collection=name, query="LUKS drawing",
                                                           mode=gateway_pb2.SEARCH_MODE_HYBRID, highlight={}),
                                 metadata=auth, timeout=60)
        assert {"cryptsetup", "inkscape", "graphviz"} <= {hit.id for hit in reply.hits}
        points = vector_pb2_grpc.VectorServiceStub(channel)
        batch = points.BatchSearchPoints(vector_pb2.BatchSearchPointsRequest(collection=name, searches=[
            {"text": "network", "limit": 1}, {"id": "gimp", "limit": 2, "group_by": {"field": "kind"}},
            {"prefetch": [{"id": "gimp"}, {"text": "server"}], "limit": 2}]), metadata=auth, timeout=60)
        assert batch.results[0].points[0].id == "wireshark"
        assert batch.results[1].groups[0].value.string_value == "graphics"
        assert "gimp" not in {p.id for p in batch.results[2].points}
        liked = points.RecommendPoints(vector_pb2.RecommendPointsRequest(collection=name, positive=["nginx"], limit=1),
                                       metadata=auth, timeout=60)
        near = points.SearchPoints(vector_pb2.SearchPointsRequest(collection=name, id="nginx", limit=1),
                                   metadata=auth, timeout=60)
        assert liked.points[0].id == near.points[0].id != "nginx"
        assert abs(liked.points[0].score - near.points[0].score) < 1e-5
        with pytest.raises(grpc.RpcError) as error:
            points.SearchPoints(vector_pb2.SearchPointsRequest(collection=name, text="x", group_by={"field": "colour"}),
                                metadata=auth, timeout=60)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "colour" in error.value.details()


def test_alcovectl_searches_by_mode_recommends_and_counts(stack, docs):
    name = docs.rsplit("/", 1)[1]
    found = json.loads(stack.ctl("search", name, "--mode", "text", "LUKS", "-o", "json").stdout)
    assert [h["id"] for h in found["hits"]] == ["cryptsetup"]
    assert "[drawing]" in stack.ctl("search", name, "--mode", "hybrid", "--highlight", "drawing").stdout
    assert "graphics" in stack.ctl("search", name, "--group-by", "kind", "drawing", "program").stdout
    assert "inkscape" in stack.ctl("recommend", name, "--like", "gimp", "--unlike", "nginx", "-n", "1").stdout
    assert stack.ctl("count", name, "-f", '{"must": [{"match": {"field": "kind", "value": "net"}}]}').stdout == "2\n"
    assert "3" in stack.ctl("facet", name, "kind").stdout.splitlines()[1]
    wrong = stack.ctl("search", name, "--mode", "psychic", "x", check=False)
    assert wrong.returncode == 1 and "hybrid" in wrong.stderr
