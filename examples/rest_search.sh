#!/usr/bin/env bash
# Semantic search by REST: make a collection, store documents, search, filter, find similar ones.
set -euo pipefail
ALCOVE=${ALCOVE:-http://127.0.0.1:8080}
name=example-rest-$$

call() { # METHOD PATH [BODY]
  curl -sS --fail-with-body -X "$1" "$ALCOVE$2" -H "Authorization: Bearer $ALCOVE_KEY" -H 'Content-Type: application/json' ${3:+-d "$3"}
}
trap 'call DELETE "/v1/collections/$name" >/dev/null' EXIT

call POST /v1/collections "{\"name\": \"$name\", \"embedding_model\": \"default\", \"schema\": {\"year\": \"integer\"}}" >/dev/null
# "wait": the reply comes when the documents can be found.
call POST "/v1/collections/$name/documents" '{"wait": true, "documents": [
  {"id": "graphviz", "text": "draws graphs from a description in text", "metadata": {"year": 1991}},
  {"id": "gimp", "text": "edits photographs and paintings", "metadata": {"year": 1996}},
  {"id": "audacity", "text": "records and edits sound", "metadata": {"year": 2000}}]}' >/dev/null

echo "search:"
call POST "/v1/collections/$name/search" '{"query": "retouch a picture", "limit": 2}' | jq -c '.hits[] | [.id, .score]'
echo "only from 1999 on:"
call POST "/v1/collections/$name/search" '{"query": "retouch a picture", "filter": {"must": [{"range": {"field": "year", "gte": 1999}}]}}' |
  jq -c '.hits[] | [.id, .score]'
echo "like gimp:"
call GET "/v1/collections/$name/documents/gimp/similar?limit=2" | jq -c '.hits[] | [.id, .score]'
