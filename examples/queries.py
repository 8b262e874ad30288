#!/usr/bin/env python3
"""Beyond the nearest points: words and vectors together, groups, examples, facets, variety. Standard library only."""

import json
import os
import urllib.request

ALCOVE = os.environ.get("ALCOVE", "http://127.0.0.1:8080")
NAME = f"example-queries-{os.getpid()}"

BOOKS = [
    ("moby", "novel", 1851, "A captain hunts a white whale across the oceans."),
    ("leagues", "novel", 1870, "A submarine travels under the oceans of the world."),
    ("origin", "science", 1859, "How species of animals and plants come about."),
    ("sea-around-us", "science", 1951, "The life of the oceans, their tides and their depths."),
    ("old-man", "novel", 1952, "An old fisherman fights with a great fish far from the shore."),
    ("cookery", "household", 1861, "Recipes for fish, meat and puddings, and how to run a kitchen."),
    ("knots", "household", 1944, "Knots and ropes for sailors, with drawings of each."),
]


def call(method, path, body=None):
    request = urllib.request.Request(
        ALCOVE + path, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {os.environ['ALCOVE_KEY']}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def embed(texts):
    return [item["embedding"] for item in call("POST", "/v1/embeddings", {"model": "default", "input": texts})["data"]]


def show(title, points):
    print(f"{title}:")
    for point in points:
        print(f"  {point['id']:14} {point['score']:.3f}", *(h["fragments"][0] for h in point.get("highlights", [])))


vectors = embed([text for *_, text in BOOKS])
# Searched by meaning in the vector field "about", and by words in "words": BM25 over the payload field "text".
call("POST", "/v1/collections", {
    "name": NAME,
    "vectors": {"about": {"dimension": len(vectors[0]), "metric": "cosine"}},
    "sparse": {"words": {"text_field": "text", "text": {"language": "english"}}},
    "schema": {"kind": "keyword", "year": "integer"}})
search = f"/v1/collections/{NAME}/points:search"
try:
    call("PUT", f"/v1/collections/{NAME}/points", {"wait": True, "points": [
        {"id": id, "named_vectors": {"about": {"values": vector}}, "payload": {"kind": kind, "year": year, "text": text}}
        for (id, kind, year, text), vector in zip(BOOKS, vectors)]})

    show("by words, and where they are",
         call("POST", search, {"text": "ocean", "limit": 3, "highlight": {}})["points"])

    question = "stories about the deep sea"
    show("by words and by meaning, fused",
         call("POST", search, {"limit": 3, "prefetch": [
             {"text": question, "vector_name": "words"},
             {"vector": embed([question])[0], "vector_name": "about", "weight": 2}]})["points"])

    groups = call("POST", search, {"vector": embed([question])[0], "vector_name": "about", "limit": 3,
                                   "group_by": {"field": "kind", "group_size": 1}})["groups"]
    print("the best of each kind:")
    for group in groups:
        print(f"  {group['value']:14} {group['points'][0]['id']}")

    show("like these two, unlike that one",
         call("POST", f"/v1/collections/{NAME}/points:recommend",
              {"positive": ["moby", "old-man"], "negative": ["cookery"], "vector_name": "about", "limit": 2})["points"])

    show("near, but not all alike",
         call("POST", search, {"vector": embed([question])[0], "vector_name": "about", "limit": 3,
                               "diversity": {"lambda": 0.6}})["points"])

    counts = call("POST", f"/v1/collections/{NAME}/points:facet",
                  {"field": "kind", "filter": {"must": [{"range": {"field": "year", "gte": 1860}}]}})["counts"]
    print("kinds since 1860:", ", ".join(f"{c['value']} {c['count']}" for c in counts))
finally:
    call("DELETE", f"/v1/collections/{NAME}")
