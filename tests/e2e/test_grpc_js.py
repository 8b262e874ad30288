"""Runs the @grpc/grpc-js tests against the stack."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent


def test_grpc_js(stack):
    done = subprocess.run(["node", "--test", "grpc_js.test.mjs"], cwd=HERE, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "ALCOVE_ADDRESS": stack.address, "ALCOVE_KEY": stack.key})
    assert done.returncode == 0, done.stdout + done.stderr
