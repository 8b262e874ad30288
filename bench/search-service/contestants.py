"""The servers that are compared: each is started, filled, asked and stopped the same way.

A contestant has: name; start(folder); fill(vectors); processes() -> psutil processes; client(ef) -> an object whose
ask(query number) returns the ids found, best first; set_ef(ef) for settings that are the server's; stop().
"""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import psutil

import http_client

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 1000


def tree(pid):
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def add_stubs(folder):
    """Makes Python stubs of protos/ in `folder`, to be imported from there."""
    import google.api
    import grpc_tools
    from grpc_tools import protoc

    folder.mkdir(parents=True, exist_ok=True)
    files = [str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos/alcove").rglob("*.proto") if "config" not in p.parts]
    googleapis = pathlib.Path(list(google.api.__path__)[0]).parents[1]
    builtin = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    if protoc.main(["protoc", f"-I{ROOT / 'protos'}", f"-I{googleapis}", f"-I{builtin}", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", *files]) != 0:
        raise RuntimeError("the protos do not compile")
    sys.path.insert(0, str(folder))


class Alcove:
    """The whole suite and Redis, as `alcovectl up --shards N` starts them: a collection has N shards, each in a
    vector-search process of its own."""

    def __init__(self, build, model, shards):
        self.ctl, self.model, self.shards = build / "bin/alcovectl", model, shards
        self.name = f"alcove {shards} shard{'s' if shards > 1 else ''}"

    def start(self, folder):
        self.data = folder / f"alcove-{self.shards}"
        subprocess.run([self.ctl, "up", "--detach", "--data", self.data, "--port", "0", "--base-port", "0",
                        "--shards", str(self.shards), "--model", self.model], check=True, capture_output=True)
        state = json.loads((self.data / "run/stack.json").read_text())
        self.host, port = state["gateway"].rsplit(":", 1)
        self.port = int(port)
        self.key = (self.data / "data/gateway/admin.key").read_text().strip()
        import grpc
        from alcove.vector.v1 import vector_pb2, vector_pb2_grpc
        self.pb = vector_pb2
        self.channel = grpc.insecure_channel(f"{self.host}:{self.port}")
        self.vectors = vector_pb2_grpc.VectorServiceStub(self.channel)
        self.metadata = [("authorization", f"Bearer {self.key}")]

    def rest(self, path, body):
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", json.dumps(body).encode(),
                                         {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.loads(reply.read())

    def embed(self, texts, report):
        """[len(texts), 384] float32: stored as documents and read back, so that the whole ingest path is timed."""
        self.rest("/v1/collections", {"name": "texts", "embedding_model": "default"})
        begun, done = time.monotonic(), 0
        for start in range(0, len(texts), 256):
            part = texts[start:start + 256]
            self.rest("/v1/collections/texts/documents",
                      {"documents": [{"id": f"{start + i:07d}", "text": t} for i, t in enumerate(part)]})
            done += len(part)
            report(done, len(texts), done / (time.monotonic() - begun))
        rate = len(texts) / (time.monotonic() - begun)
        out = np.empty((len(texts), 384), np.float32)
        ids = [f"{i:07d}" for i in range(len(texts))]
        for start in range(0, len(ids), 500):
            reply = self.vectors.GetPoints(self.pb.GetPointsRequest(collection="texts", ids=ids[start:start + 500], with_vectors=True,
                                                                    min_sequence=""), metadata=self.metadata)
            for point in reply.points:
                out[int(point.id)] = point.vector or point.named_vectors[""].values
        return out, rate

    def fill(self, vectors):
        self.rest("/v1/collections", {"name": "bench", "vectors": {"": {"dimension": vectors.shape[1], "metric": "METRIC_COSINE"}}})
        for start in range(0, len(vectors), BATCH):
            points = [self.pb.UpsertPointsRequest().points.add(id=str(start + i), vector=v.tolist())
                      for i, v in enumerate(vectors[start:start + BATCH])]
            self.vectors.UpsertPoints(self.pb.UpsertPointsRequest(collection="bench", points=points), metadata=self.metadata, timeout=600)
        # Indexing follows the log: it may take longer than any call may.
        while self.vectors.GetCollection(self.pb.GetCollectionRequest(name="bench"), metadata=self.metadata).collection.points < len(vectors):
            time.sleep(0.2)

    def processes(self):
        return [psutil.Process(p["pid"]) for p in json.loads((self.data / "run/stack.json").read_text())["processes"]]

    def set_ef(self, ef):
        pass

    def client(self, ef, queries):
        return AlcoveClient(self, ef, queries)

    def stop(self):
        self.channel.close()
        subprocess.run([self.ctl, "down", "--data", self.data], check=False, capture_output=True)


class AlcoveClient:
    def __init__(self, server, ef, queries):
        self.connection = http_client.Connection(server.host, server.port)
        self.requests = [http_client.prepare(
            server.host, "/v1/collections/bench/points:search",
            json.dumps({"vector": [float(x) for x in q], "limit": 10, "payload": {"none": True}, "params": {"ef": ef}}).encode(),
            [f"Authorization: Bearer {server.key}"]) for q in queries]

    def ask(self, number):
        return [int(p["id"]) for p in json.loads(self.connection.ask(self.requests[number]))["points"]]


class AlcoveGrpcClient:
    """The same by gRPC, for clients that speak it."""

    def __init__(self, server, ef, queries):
        import grpc
        channel = grpc.insecure_channel(f"{server.host}:{server.port}", [("grpc.use_local_subchannel_pool", 1)])
        call = channel.unary_unary("/alcove.vector.v1.VectorService/SearchPoints", request_serializer=lambda b: b,
                                   response_deserializer=server.pb.SearchPointsResponse.FromString)
        self.channel, self.metadata = channel, server.metadata
        self.call = call
        self.requests = []
        for q in queries:
            request = server.pb.SearchPointsRequest(collection="bench", vector=q.tolist(), limit=10)
            request.payload.none = True
            request.params.ef = ef
            self.requests.append(request.SerializeToString())

    def ask(self, number):
        return [int(p.id) for p in self.call(self.requests[number], metadata=self.metadata).points]


class Chroma:
    name = "chroma"

    def start(self, folder):
        import chromadb
        self.port = free_port()
        chroma = pathlib.Path(sys.executable).parent / "chroma"
        self.server = subprocess.Popen([chroma, "run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", str(self.port)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"ANONYMIZED_TELEMETRY": "False",
                                                                                                  "PATH": "/usr/bin:/bin"})
        deadline = time.monotonic() + 60
        while True:
            try:
                self.http = chromadb.HttpClient("127.0.0.1", self.port, settings=chromadb.Settings(anonymized_telemetry=False))
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def fill(self, vectors):
        self.collection = self.http.create_collection("bench", embedding_function=None, configuration={
            "hnsw": {"space": "cosine", "ef_construction": 128, "max_neighbors": 16, "ef_search": 100}})
        for start in range(0, len(vectors), BATCH):
            part = vectors[start:start + BATCH]
            self.collection.add(ids=[str(start + i) for i in range(len(part))], embeddings=part)

    def processes(self):
        return tree(self.server.pid)

    def set_ef(self, ef):
        self.collection.modify(configuration={"hnsw": {"ef_search": ef}})

    def client(self, ef, queries):
        return ChromaClient(self, queries)

    def stop(self):
        self.server.terminate()
        self.server.wait(20)


class ChromaClient:
    def __init__(self, server, queries):
        self.connection = http_client.Connection("127.0.0.1", server.port)
        path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{server.collection.id}/query"
        self.requests = [http_client.prepare("127.0.0.1", path, json.dumps(
            {"query_embeddings": [[float(x) for x in q]], "n_results": 10, "include": ["distances"]}).encode()) for q in queries]

    def ask(self, number):
        return [int(i) for i in json.loads(self.connection.ask(self.requests[number]))["ids"][0]]


class Pgvector:
    name = "pgvector"

    def start(self, folder):
        import pgserver
        self.server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
        self.uri = self.server.get_uri()

    def connect(self):
        import psycopg
        from pgvector.psycopg import register_vector
        connection = psycopg.connect(self.uri, autocommit=True)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        return connection

    def fill(self, vectors):
        with self.connect() as connection:
            connection.execute(f"CREATE TABLE bench (id bigint PRIMARY KEY, embedding vector({vectors.shape[1]}))")
            with connection.cursor().copy("COPY bench FROM STDIN WITH (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "vector"])
                for i, v in enumerate(vectors):
                    copy.write_row([i, v])
            connection.execute("SET maintenance_work_mem = '2GB'")
            connection.execute("CREATE INDEX ON bench USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 128)")
            connection.execute("ANALYZE bench")

    def processes(self):
        return tree(self.server.get_pid())

    def set_ef(self, ef):
        pass

    def client(self, ef, queries):
        return PgClient(self.connect(), ef, queries)

    def stop(self):
        self.server.cleanup()


class PgClient:
    def __init__(self, connection, ef, queries):
        self.connection, self.queries = connection, list(queries)
        connection.execute(f"SET hnsw.ef_search = {ef}")
        connection.execute("SET enable_seqscan = off")
        connection.prepare_threshold = 0
        self.cursor = connection.cursor(binary=True)

    def ask(self, number):
        rows = self.cursor.execute("SELECT id FROM bench ORDER BY embedding <=> %s LIMIT 10", (self.queries[number],)).fetchall()
        return [row[0] for row in rows]
