"""A real stack for the whole run: the five processes and Redis, started by `alcovectl up` on free ports."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ALCOVE_BUILD", ROOT / "build"))
MODEL = pathlib.Path(os.environ.get("ALCOVE_TEST_MODEL", ROOT / ".local/models/all-MiniLM-L6-v2"))


class Stack:
    """One running stack and how to talk to it."""

    def __init__(self, data, extra=()):
        self.data = pathlib.Path(data)
        self.up(extra)

    def up(self, extra=()):
        done = subprocess.run(
            [BUILD / "bin/alcovectl", "up", "--detach", "--data", self.data, "--port", "0", "--base-port", "0",
             "--model", MODEL, *extra],
            capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            logs = "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in self.data.glob("logs/*.log"))
            raise RuntimeError(f"the stack did not start:\n{done.stderr}\n{logs}")
        state = self.state()
        self.address = state["gateway"]
        self.url = f"http://{self.address}"
        self.key = (self.data / "data/gateway/admin.key").read_text().strip()
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {self.key}"

    def down(self):
        subprocess.run([BUILD / "bin/alcovectl", "down", "--data", self.data], check=True, capture_output=True, timeout=120)

    def state(self):
        return json.loads((self.data / "run/stack.json").read_text())

    def process(self, name):
        return next(p for p in self.state()["processes"] if p["name"] == name)

    def wait_ready(self, name, pid_not=None, seconds=60):
        """Waits until the supervisor says that a process is ready (again)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            process = self.process(name)
            if process["state"] == "ready" and process["pid"] != pid_not:
                return process
            time.sleep(0.05)
        raise TimeoutError(f"{name} is not ready: {self.process(name)}")

    def ctl(self, *args, check=True):
        """Runs alcovectl against this stack."""
        return subprocess.run([BUILD / "bin/alcovectl", *args, "--data", str(self.data)], capture_output=True, text=True,
                              timeout=120, check=check)

    def post(self, path, body, **kwargs):
        return self.http.post(self.url + path, json=body, timeout=60, **kwargs)

    def get(self, path, **kwargs):
        return self.http.get(self.url + path, timeout=60, **kwargs)


def start_stack(extra=()):
    data = tempfile.mkdtemp(prefix="alcove-e2e-")
    return Stack(data, extra)


@pytest.fixture(scope="session")
def stack():
    running = start_stack()
    yield running
    running.down()
    shutil.rmtree(running.data, ignore_errors=True)


@pytest.fixture
def own_stack():
    """A stack that a test may break."""
    running = start_stack()
    yield running
    running.down()
    shutil.rmtree(running.data, ignore_errors=True)


@pytest.fixture
def collection(stack):
    """An empty collection of texts with a filterable field."""
    name = f"t{uuid.uuid4().hex[:12]}"
    reply = stack.post("/v1/collections", {"name": name, "embedding_model": "default",
                                           "schema": {"kind": "FIELD_TYPE_KEYWORD", "year": "FIELD_TYPE_INTEGER"}})
    assert reply.status_code == 200, reply.text
    yield name
    stack.http.delete(f"{stack.url}/v1/collections/{name}", timeout=60)


@pytest.fixture(scope="session")
def protos(tmp_path_factory):
    """Python stubs made from protos/ with the packages' own compiler."""
    import grpc_tools
    from grpc_tools import protoc
    import google.api

    out = tmp_path_factory.mktemp("stubs")
    files = [str(p.relative_to(ROOT / "protos")) for p in (ROOT / "protos/alcove").rglob("*.proto")
             if "config" not in p.parts]
    googleapis = pathlib.Path(list(google.api.__path__)[0]).parents[1]
    builtin = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{ROOT / 'protos'}", f"-I{googleapis}", f"-I{builtin}", f"--python_out={out}",
                        f"--grpc_python_out={out}", *files])
    assert code == 0
    sys.path.insert(0, str(out))
    yield out
    sys.path.remove(str(out))
