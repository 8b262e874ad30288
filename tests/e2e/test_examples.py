"""The programs of examples/ do what they say against the running stack."""

import os
import subprocess
import sys

import pytest

from conftest import ROOT

HERE = ROOT / "tests/e2e"


def run(stack, *command, cwd=HERE):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd,
                          env={**os.environ, "ALCOVE": stack.url, "ALCOVE_KEY": stack.key})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["rest_search.sh", "grpc_search.py", "grpc_search.mjs"])
def test_a_search_example_finds_the_right_program_and_tidies_up(stack, name, tmp_path):
    command = {"sh": [], "py": [sys.executable], "mjs": ["node"]}[name.rsplit(".", 1)[1]]
    example = ROOT / "examples" / name
    if name.endswith(".mjs"):  # packages are looked up beside the program
        for entry in ("examples", "protos"):
            (tmp_path / entry).mkdir(exist_ok=True)
        (tmp_path / "examples" / name).write_text(example.read_text())
        (tmp_path / "protos").rmdir()
        (tmp_path / "protos").symlink_to(ROOT / "protos")
        (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
        example = tmp_path / "examples" / name
    output = run(stack, *command, str(example))
    first = next(line for line in output.splitlines() if "gimp" in line or "graphviz" in line or "audacity" in line)
    assert "gimp" in first, output
    names = [c["name"] for c in stack.get("/v1/collections").json()["collections"]]
    assert not [n for n in names if n.startswith("example-")]


def test_the_queries_example_shows_every_kind(stack):
    lines = run(stack, sys.executable, str(ROOT / "examples/queries.py")).splitlines()
    words = lines[lines.index("by words, and where they are:") + 1:][:3]
    assert {line.split()[0] for line in words} == {"moby", "leagues", "sea-around-us"}
    assert all("<em>oceans</em>" in line for line in words)
    kinds = lines[lines.index("the best of each kind:") + 1:][:3]
    assert {line.split()[0] for line in kinds} == {"novel", "science", "household"}
    alike = lines[lines.index("like these two, unlike that one:") + 1:][:2]
    assert {line.split()[0] for line in alike} == {"leagues", "sea-around-us"}
    assert lines[-1] == "kinds since 1860: household 2, novel 2, science 1"


def test_the_embeddings_example_ranks_by_meaning(stack):
    lines = run(stack, sys.executable, str(ROOT / "examples/openai_embeddings.py")).splitlines()
    scores = [float(line.split()[0]) for line in lines[:3]]
    assert scores[0] > 0.999 > scores[1] > scores[2]
    assert lines[3].startswith("384 dimensions")
