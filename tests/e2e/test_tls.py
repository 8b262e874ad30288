"""All processes speak TLS, to clients and to one another, and prove themselves by certificates."""

import contextlib
import socket
import subprocess
import time

import pytest
import requests

from conftest import BUILD, MODEL


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def certificate(folder, name):
    """A self-signed certificate, its own authority: (certificate, key)."""
    folder.mkdir()
    pair = (folder / "cert.pem", folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", pair[1], "-out", pair[0], "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return pair


class Suite:
    """Inference, two vector-search processes with a shard each, cache, fhe-proxy and the gateway, all over mutual TLS."""

    def __init__(self, folder, trusted, gateway_trusts):
        self.folder, self.processes = folder, []
        self.cert, self.key = trusted
        inference, *shards, cache, fhe, self.door = [f"127.0.0.1:{p}" for p in free_ports(6)]
        nodes = ", ".join(f"{{address: '{s}', shards: [{i}]}}" for i, s in enumerate(shards))
        store = f"--store.url=sqlite:{folder}/alcove.db"
        self.start("inference", f"--server.listen={inference}", f"--model=default={MODEL}")
        for i, shard in enumerate(shards):
            self.start("vector-search", f"--server.listen={shard}", store, f"--data_dir={folder}/shard{i}", "--cluster.shard_count=2",
                       f"--cluster.nodes=[{nodes}]", *self.tls("cluster.tls"))
        self.start("cache", f"--server.listen={cache}")
        self.start("fhe-proxy", f"--server.listen={fhe}", f"--data_dir={folder}/fhe", f"--vector_search={shards[0]}",
                   *self.tls("vector_search_tls"))
        self.url = "https://" + self.door.replace("127.0.0.1", "localhost")
        self.start("gateway", f"--http.port={self.door.rsplit(':', 1)[1]}", store, f"--data_dir={folder}/gateway", "--auth.mode=none",
                   f"--upstreams.inference=[{inference}]", f"--upstreams.vector_search=[{', '.join(shards)}]",
                   f"--upstreams.cache=[{cache}]", f"--upstreams.fhe_proxy=[{fhe}]", *self.tls("upstreams.tls", gateway_trusts),
                   f"--http.tls.certificate={self.cert}", f"--http.tls.private_key={self.key}", server=False)

    def tls(self, name, authorities=None):
        return (f"--{name}.certificate={self.cert}", f"--{name}.private_key={self.key}",
                f"--{name}.client_ca={authorities or self.cert}")

    def start(self, name, *flags, server=True):
        own = ("--server.admin_listen=", *self.tls("server.tls")) if server else ()
        with open(self.folder / f"{name}-{len(self.processes)}.log", "w") as log:
            self.processes.append(subprocess.Popen([BUILD / f"bin/alcove-{name}", *flags, *own], stdout=log, stderr=log))

    def ready(self):
        """What /health/ready says."""
        return requests.get(self.url + "/health/ready", verify=self.cert, timeout=5).json()

    def wait(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            assert all(p.poll() is None for p in self.processes), self.logs()
            try:
                last = self.ready()
                if condition(last):
                    return last
            except requests.ConnectionError as error:
                last = error
            time.sleep(0.1)
        raise TimeoutError(f"{last}\n{self.logs()}")

    def logs(self):
        return "\n".join(f"--- {p.name}\n{p.read_text()[-2000:]}" for p in self.folder.glob("*.log"))

    def stop(self):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            p.wait(30)


@pytest.fixture
def suites(tmp_path):
    made = []

    def make(**kwargs):
        folder = tmp_path / f"suite{len(made)}"
        folder.mkdir()
        made.append(Suite(folder, **kwargs))
        return made[-1]

    yield make
    for suite in made:
        suite.stop()


def test_a_search_goes_through_processes_that_prove_themselves(suites, tmp_path):
    pair = certificate(tmp_path / "own", "alcove")
    suite = suites(trusted=pair, gateway_trusts=pair[0])
    suite.wait(lambda r: r["ready"])

    def call(method, path, body=None):
        reply = requests.request(method, suite.url + path, json=body, verify=pair[0], timeout=60)
        assert reply.ok, reply.text
        return reply.json()

    call("POST", "/v1/collections", {"name": "docs", "embedding_model": "default", "shard_count": 2})
    texts = {"gimp": "edits photographs", "audacity": "records sound", "graphviz": "draws graphs", "vim": "edits text"}
    call("POST", "/v1/collections/docs/documents",
         {"wait": True, "documents": [{"id": i, "text": t} for i, t in texts.items()]})
    assert call("POST", "/v1/collections/docs/search", {"query": "retouch a picture"})["hits"][0]["id"] == "gimp"
    assert {h["id"] for h in call("POST", "/v1/collections/docs/search", {"query": "program", "limit": 4})["hits"]} == set(texts)
    states = {p["service"]: p["health"] for p in call("GET", "/v1/status")["processes"]}
    assert set(states.values()) == {"HEALTH_SERVING"}, states
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(suite.url + "/health/ready", timeout=5)


def test_a_gateway_does_not_talk_to_processes_it_cannot_trust(suites, tmp_path):
    suite = suites(trusted=certificate(tmp_path / "own", "alcove"), gateway_trusts=certificate(tmp_path / "other", "alcove")[0])
    said = suite.wait(lambda r: "certificate verify failed" in r.get("reason", ""))
    assert not said["ready"]
