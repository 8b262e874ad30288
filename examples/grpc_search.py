"""Semantic search by gRPC. The stubs are made from protos/ when the program starts."""

import os
import pathlib
import sys
import tempfile

import google.api
import grpc
import grpc_tools
from grpc_tools import protoc

protos = pathlib.Path(__file__).resolve().parents[1] / "protos"
stubs = tempfile.mkdtemp()
wanted = ["common", "gateway", "vector"]
if protoc.main(["protoc", f"-I{protos}", f"-I{pathlib.Path(list(google.api.__path__)[0]).parents[1]}",
                f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}", f"--python_out={stubs}", f"--grpc_python_out={stubs}",
                *(str(p.relative_to(protos)) for area in wanted for p in (protos / "alcove" / area).rglob("*.proto"))]) != 0:
    sys.exit("the protos do not compile")
sys.path.insert(0, stubs)

from alcove.gateway.v1 import gateway_pb2, gateway_pb2_grpc  # noqa: E402
from alcove.vector.v1 import types_pb2, vector_pb2, vector_pb2_grpc  # noqa: E402

address = os.environ.get("ALCOVE", "http://127.0.0.1:8080").removeprefix("http://")
auth = {"metadata": [("authorization", f"Bearer {os.environ['ALCOVE_KEY']}")], "timeout": 30}
name = f"example-grpc-{os.getpid()}"

with grpc.insecure_channel(address) as channel:
    collections = vector_pb2_grpc.VectorServiceStub(channel)
    documents = gateway_pb2_grpc.DocumentServiceStub(channel)
    collections.CreateCollection(vector_pb2.CreateCollectionRequest(collection=types_pb2.Collection(
        name=name, embedding_model="default", schema={"year": types_pb2.FIELD_TYPE_INTEGER})), **auth)
    try:
        request = gateway_pb2.UpsertDocumentsRequest(collection=name, wait=True)
        for id, text, year in [("graphviz", "draws graphs from a description in text", 1991),
                               ("gimp", "edits photographs and paintings", 1996), ("audacity", "records and edits sound", 2000)]:
            request.documents.add(id=id, text=text).metadata["year"] = year
        documents.UpsertDocuments(request, **auth)
        search = gateway_pb2.SearchRequest(collection=name, query="retouch a picture", limit=2)
        for hit in documents.Search(search, **auth).hits:
            print(f"{hit.score:.3f}  {hit.id}: {hit.text}")
    finally:
        collections.DeleteCollection(vector_pb2.DeleteCollectionRequest(name=name), **auth)
