"""A stack of its own for a benchmark of private search. The program's arguments begin with the folders of binaries and model."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request

BIN, MODEL = (pathlib.Path(p) for p in sys.argv[1:3])


def hardware():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


class Stack:
    def __init__(self, **settings):
        os.environ.update(settings)
        self.data = tempfile.mkdtemp(prefix="alcove-bench-")
        self.ctl("up", "--detach", "--port", "0", "--base-port", "0", "--model", str(MODEL))
        state = json.load(open(f"{self.data}/run/stack.json"))
        self.url = "http://" + state["gateway"]
        self.key = open(f"{self.data}/data/gateway/admin.key").read().strip()

    def ctl(self, *args):
        done = subprocess.run([BIN / "alcovectl", *args, "--data", self.data], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"alcovectl {' '.join(args)}: {done.stderr}")
        return done.stdout

    def open(self, path, body=None):
        """The answer to a GET, or to a POST of a body."""
        return urllib.request.urlopen(urllib.request.Request(
            self.url + path, data=json.dumps(body).encode() if body is not None else None,
            headers={"authorization": "Bearer " + self.key, "content-type": "application/json"}))

    def call(self, path, body=None):
        with self.open(path, body) as response:
            return json.load(response)

    def down(self):
        subprocess.run([BIN / "alcovectl", "down", "--data", self.data], capture_output=True)
        shutil.rmtree(self.data, ignore_errors=True)
