"""A gateway and vector-search processes on one SQLite store, started by hand so that each can be killed."""

import http.client
import json
import socket
import subprocess
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Failed(Exception):
    pass


class Client:
    """One kept connection to the gateway; for one thread."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None):
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            reply = self.connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Failed(f"{method} {path}: {error!r}") from error
        if reply.status != 200:
            raise Failed(f"{method} {path}: {reply.status} {text[:300]!r}")
        return json.loads(text)


class Cluster:
    """`shards`: the shard numbers each process holds; two processes with the same number are its replicas."""

    def __init__(self, build, folder, shards, shard_count):
        self.build, self.folder, self.shards, self.shard_count = build, folder, shards, shard_count
        self.ports = [free_port() for _ in shards]
        self.gateway_port = free_port()
        self.processes = {}
        folder.mkdir(parents=True)

    def start(self):
        for node in range(len(self.shards)):
            self.start_node(node)
        nodes = ", ".join(f"'127.0.0.1:{p}'" for p in self.ports)
        self.spawn("gateway", ["alcove-gateway", "--http.address=127.0.0.1", f"--http.port={self.gateway_port}", "--auth.mode=none",
                               f"--data_dir={self.folder}/gateway", f"--store.url=sqlite:{self.folder}/alcove.db",
                               f"--upstreams.vector_search=[{nodes}]"])
        self.await_ready()

    def start_node(self, node):
        nodes = ", ".join(f"{{address: '127.0.0.1:{p}', shards: {s}}}" for p, s in zip(self.ports, self.shards))
        address = f"127.0.0.1:{self.ports[node]}"
        self.spawn(node, ["alcove-vector-search", f"--store.url=sqlite:{self.folder}/alcove.db", f"--data_dir={self.folder}/node{node}",
                          f"--server.listen={address}", "--server.admin_listen=127.0.0.1:0", f"--cluster.self={address}",
                          f"--cluster.shard_count={self.shard_count}", f"--cluster.nodes=[{nodes}]"])

    def spawn(self, name, command):
        log = open(self.folder / f"{name}.log", "ab")
        self.processes[name] = subprocess.Popen([self.build / "bin" / command[0], *command[1:]], stdout=log, stderr=log)

    def await_ready(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                client = self.client()
                client.ask("GET", "/v1/collections")
                return
            except Failed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def kill(self, node):
        self.processes[node].kill()
        self.processes[node].wait()

    def client(self):
        return Client(self.gateway_port)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
