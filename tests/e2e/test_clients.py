"""The suite through other people's clients: openai, grpcio, curl's view of health and metrics."""

import base64
import math
import struct

import grpc
import pytest
import requests


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.fixture(scope="module")
def openai_client(stack):
    import openai

    return openai.OpenAI(base_url=stack.url + "/v1", api_key=stack.key, max_retries=0)


def test_openai_embeddings_in_both_encodings(openai_client):
    texts = ["a cat sits on the mat", "a kitten rests on a rug", "quarterly earnings rose"]
    made = openai_client.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
    floats = openai_client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, encoding_format="float")
    raw = openai_client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, encoding_format="base64")
    assert made.model == "all-MiniLM-L6-v2"
    assert made.usage.prompt_tokens > 10 and made.usage.total_tokens == made.usage.prompt_tokens
    for i in range(3):
        assert len(made.data[i].embedding) == 384 and made.data[i].index == i
        assert cosine(made.data[i].embedding, floats.data[i].embedding) > 0.999999
        unpacked = struct.unpack("<384f", base64.b64decode(raw.data[i].embedding))
        assert cosine(made.data[i].embedding, unpacked) > 0.999999
    same = cosine(made.data[0].embedding, made.data[1].embedding)
    other = cosine(made.data[0].embedding, made.data[2].embedding)
    assert same > 0.5 > other


def test_openai_models(openai_client):
    models = [m.id for m in openai_client.models.list()]
    assert "all-MiniLM-L6-v2" in models
    assert openai_client.models.retrieve("all-MiniLM-L6-v2").object == "model"


def test_openai_errors_map_to_their_classes(stack, openai_client):
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.embeddings.create(model="no-such-model", input="x")
    assert missing.value.body["message"]
    with pytest.raises(openai.BadRequestError):
        openai_client.embeddings.create(model="all-MiniLM-L6-v2", input=[])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=stack.url + "/v1", api_key="alc_wrong", max_retries=0).models.list()
    chat = stack.post("/v1/chat/completions", {"model": "x", "messages": []})
    assert chat.status_code == 501 and chat.json()["error"]["message"]


@pytest.fixture(scope="module")
def channel(stack, protos):
    with grpc.insecure_channel(stack.address) as opened:
        yield opened


def auth(stack):
    return (("authorization", f"Bearer {stack.key}"),)


def test_grpc_reaches_every_public_service(stack, channel, collection):
    from alcove.gateway.v1 import gateway_pb2, gateway_pb2_grpc
    from alcove.inference.v1 import inference_pb2, inference_pb2_grpc
    from alcove.private_search.v1 import private_search_pb2, private_search_pb2_grpc
    from alcove.vector.v1 import vector_pb2, vector_pb2_grpc

    embedded = inference_pb2_grpc.InferenceServiceStub(channel).Embed(
        inference_pb2.EmbedRequest(texts=["hello"]), metadata=auth(stack), timeout=60)
    assert len(embedded.embeddings[0].values) == 384

    points = vector_pb2_grpc.VectorServiceStub(channel)
    point = vector_pb2.UpsertPointsRequest(collection=collection, wait=True)
    point.points.add(id="a", vector=embedded.embeddings[0].values)
    points.UpsertPoints(point, metadata=auth(stack), timeout=60)
    found = points.SearchPoints(
        vector_pb2.SearchPointsRequest(collection=collection, vector=embedded.embeddings[0].values),
        metadata=auth(stack), timeout=60)
    assert found.points[0].id == "a" and found.points[0].score > 0.999

    documents = gateway_pb2_grpc.DocumentServiceStub(channel)
    documents.UpsertDocuments(gateway_pb2.UpsertDocumentsRequest(
        collection=collection, documents=[gateway_pb2.Document(id="b", text="open source search")], wait=True),
        metadata=auth(stack), timeout=60)
    hits = documents.Search(gateway_pb2.SearchRequest(collection=collection, query="free software retrieval"),
                            metadata=auth(stack), timeout=60).hits
    assert hits[0].id == "b"

    sets = private_search_pb2_grpc.PrivateSearchServiceStub(channel).GetParameters(
        private_search_pb2.GetParametersRequest(), metadata=auth(stack), timeout=60).sets
    assert sets and all(s.security_bits >= 128 for s in sets)

    status = gateway_pb2_grpc.StatusServiceStub(channel).GetStatus(
        gateway_pb2.GetStatusRequest(), metadata=auth(stack), timeout=60)
    assert status.ready
    assert sorted(p.service for p in status.processes) == [
        "cache", "fhe-proxy", "gateway", "inference", "vector-search", "vector-search"]


def test_grpc_errors_carry_the_right_codes(stack, channel, collection):
    from alcove.graph.v1 import graph_pb2, graph_pb2_grpc
    from alcove.vector.v1 import shard_pb2, shard_pb2_grpc, vector_pb2, vector_pb2_grpc

    points = vector_pb2_grpc.VectorServiceStub(channel)

    def code(call, request, metadata=auth(stack)):
        with pytest.raises(grpc.RpcError) as error:
            call(request, metadata=metadata, timeout=60)
        return error.value.code()

    search = vector_pb2.SearchPointsRequest(collection=collection, vector=[1.0])
    assert code(points.SearchPoints, search, ()) == grpc.StatusCode.UNAUTHENTICATED
    assert code(points.SearchPoints, search) == grpc.StatusCode.INVALID_ARGUMENT
    assert code(points.GetCollection, vector_pb2.GetCollectionRequest(name="nowhere")) == grpc.StatusCode.NOT_FOUND
    recommend = vector_pb2.RecommendPointsRequest(collection=collection)
    assert code(points.RecommendPoints, recommend) == grpc.StatusCode.INVALID_ARGUMENT
    graphs = graph_pb2_grpc.GraphServiceStub(channel)
    assert code(graphs.GetGraph, graph_pb2.GetGraphRequest(name="g")) == grpc.StatusCode.UNIMPLEMENTED
    shards = shard_pb2_grpc.ShardServiceStub(channel)
    assert code(shards.GetStatus, shard_pb2.GetStatusRequest()) == grpc.StatusCode.UNIMPLEMENTED


def test_a_client_cannot_choose_its_tenant(stack, channel, collection):
    from alcove.vector.v1 import vector_pb2, vector_pb2_grpc

    points = vector_pb2_grpc.VectorServiceStub(channel)
    reply = points.GetCollection(vector_pb2.GetCollectionRequest(name=collection),
                                 metadata=(*auth(stack), ("x-alcove-tenant", "other")), timeout=60)
    assert reply.collection.name == collection


def test_reflection_and_health(stack, channel):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    from google.protobuf.descriptor_pool import DescriptorPool

    database = ProtoReflectionDescriptorDatabase(channel)
    services = database.get_services()
    assert "alcove.vector.v1.VectorService" in services and "alcove.vector.v1.ShardService" not in services
    method = DescriptorPool(database).FindServiceByName("alcove.gateway.v1.DocumentService").FindMethodByName("Search")
    assert method.input_type.full_name == "alcove.gateway.v1.SearchRequest"

    check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda b: b,
                                response_deserializer=lambda b: b)
    assert check(b"", timeout=60) == b"\x08\x01"


def test_health_metrics_and_documents_of_the_interface(stack):
    assert requests.get(stack.url + "/health", timeout=60).status_code == 200
    assert requests.get(stack.url + "/health/ready", timeout=60).status_code == 200
    metrics = requests.get(stack.url + "/metrics", timeout=60)  # needs no key while the gateway listens on loopback
    assert metrics.status_code == 200 and "alcove_build_info" in metrics.text
    document = requests.get(stack.url + "/openapi.json", timeout=60).json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/collections/{collection}/search" in document["paths"]
    page = requests.get(stack.url + "/docs", timeout=60)
    assert "text/html" in page.headers["content-type"]
    # The gateway is reachable by more than this test: nothing on the page may load from elsewhere.
    for marker in ("src=\"http", "href=\"http", "@import"):
        assert marker not in page.text
