"""The command-line tool against a running stack."""

import json
import subprocess
import uuid

from conftest import BUILD, MODEL


def test_ingest_search_and_similar(stack, tmp_path):
    name = f"t{uuid.uuid4().hex[:12]}"
    created = stack.ctl("collections", "create", name, "--field", "kind:keyword", "-o", "json")
    assert json.loads(created.stdout)["name"] == name
    lines = [{"id": f"d{i}", "text": f"{animal} number {i}", "kind": animal}
             for i, animal in enumerate(["cat", "dog", "horse", "whale"] * 30)]
    source = tmp_path / "animals.jsonl"
    source.write_text("\n".join(json.dumps(line) for line in lines))
    done = json.loads(stack.ctl("ingest", name, str(source), "-o", "json").stdout)
    assert done["stored"] == 120 and done["rejected"] == 0
    listed = json.loads(stack.ctl("collections", "get", name, "-o", "json").stdout)
    assert int(listed["points"]) == 120
    found = json.loads(stack.ctl("search", name, "large", "sea", "animal", "-n", "3", "-o", "json").stdout)
    assert all("whale" in hit["text"] for hit in found["hits"])
    assert "whale" in stack.ctl("similar", name, "d3").stdout
    refused = stack.ctl("collections", "delete", name, check=False)
    assert refused.returncode == 1 and "--yes" in refused.stderr
    stack.ctl("collections", "delete", name, "--yes")
    assert name not in stack.ctl("collections", "list").stdout


def test_vectors_are_kept_as_the_collection_says(stack, tmp_path):
    source = tmp_path / "animals.jsonl"
    source.write_text("\n".join(json.dumps({"id": f"d{i}", "text": f"{animal} number {i}"})
                                for i, animal in enumerate(["cat", "dog", "horse", "whale"] * 100)))
    sizes = {}
    for flags in ((), ("--codes", "int4", "--storage", "int8"), ("--codes", "int4", "--storage", "f16", "--on-disk")):
        name = f"t{uuid.uuid4().hex[:12]}"
        stack.ctl("collections", "create", name, *flags)
        stack.ctl("ingest", name, str(source))
        got = json.loads(stack.ctl("collections", "get", name, "-o", "json").stdout)
        sizes[flags] = int(got["memory_bytes"]), int(got.get("disk_bytes", 0))
        found = json.loads(stack.ctl("search", name, "large", "sea", "animal", "-n", "3", "-o", "json").stdout)
        assert all("whale" in hit["text"] for hit in found["hits"]), flags
    default, compact, on_disk = sizes.values()
    assert default[0] > compact[0] + 400 * 384 * 2 and on_disk[0] < compact[0]
    assert default[1] == compact[1] == 0 and on_disk[1] >= 400 * 384 * 2
    refused = stack.ctl("collections", "create", "t", "--codes", "f32", "--on-disk", check=False)
    assert refused.returncode == 1 and "on_disk" in refused.stderr


def test_an_interrupted_ingest_goes_on_where_it_stopped(stack, tmp_path):
    name = f"t{uuid.uuid4().hex[:12]}"
    stack.ctl("collections", "create", name)
    source = tmp_path / "many.jsonl"
    source.write_text("\n".join(json.dumps({"id": f"d{i}", "text": f"text {i}"}) for i in range(300)))
    first = json.loads(stack.ctl("ingest", name, str(source), "--limit", "100", "-o", "json").stdout)
    assert first["stored"] == 100
    second = json.loads(stack.ctl("ingest", name, str(source), "-o", "json").stdout)
    assert second["skipped"] == 100 and second["stored"] == 200
    assert int(json.loads(stack.ctl("collections", "get", name, "-o", "json").stdout)["points"]) == 300


def test_bad_documents_are_named_and_can_be_passed_over(stack, tmp_path):
    name = f"t{uuid.uuid4().hex[:12]}"
    stack.ctl("collections", "create", name)
    source = tmp_path / "bad.jsonl"
    source.write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    failed = stack.ctl("ingest", name, str(source), check=False)
    assert failed.returncode == 1 and "bad.jsonl:2" in failed.stderr
    done = json.loads(stack.ctl("ingest", name, str(source), "--restart", "--skip-bad", "-o", "json").stdout)
    assert done["stored"] == 2 and done["rejected"] == 1


def test_status_and_keys(stack):
    status = json.loads(stack.ctl("status", "-o", "json").stdout)
    assert status["ready"] and len(status["processes"]) == 6
    made = json.loads(stack.ctl("key", "create", "laptop", "--scope", "read", "-o", "json").stdout)
    assert made["key"]["id"] in stack.ctl("key", "list").stdout
    stack.ctl("key", "revoke", made["key"]["id"])
    assert "revoked" in stack.ctl("key", "list").stdout


def test_a_second_stack_in_the_same_folder_is_refused(stack):
    again = subprocess.run([BUILD / "bin/alcovectl", "up", "--detach", "--data", stack.data, "--model", MODEL], capture_output=True, text=True,
                           timeout=60)
    assert again.returncode == 1 and "already runs" in again.stderr


def test_a_port_that_is_taken_is_named(stack, tmp_path):
    port = stack.address.rsplit(":", 1)[1]
    taken = subprocess.run([BUILD / "bin/alcovectl", "up", "--detach", "--data", tmp_path / "x", "--port", port,
                            "--base-port", "0", "--no-redis", "--model", MODEL], capture_output=True, text=True, timeout=120)
    assert taken.returncode == 1
    assert port in taken.stderr and "--port" in taken.stderr


def test_a_model_folder_that_lacks_a_file_is_named_at_the_start(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text((MODEL / "config.json").read_text())
    done = subprocess.run([BUILD / "bin/alcovectl", "up", "--detach", "--data", tmp_path / "d", "--port", "0", "--base-port", "0",
                           "--no-redis", "--model", tmp_path / "model"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert str(tmp_path / "model") in done.stderr and ("safetensors" in done.stderr or "tokenizer" in done.stderr), done.stderr


def test_completion_scripts_are_valid_shell(stack):
    script = stack_free("completion", "bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "collections" in script


def stack_free(*args):
    return subprocess.run([BUILD / "bin/alcovectl", *args], capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_service_explains_and_checks_its_configuration(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("log:\n  levl: info\n")
    for name in ("alcove-gateway", "alcove-inference", "alcove-vector-search", "alcove-fhe-proxy", "alcove-cache"):
        binary = BUILD / "bin" / name
        assert "--log.level" in subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
        wrong = subprocess.run([binary, "--config", bad, "--check-config"], capture_output=True, text=True)
        assert wrong.returncode == 2, wrong
        assert "levl" in wrong.stderr and "level" in wrong.stderr
        # A file that is not there would keep it from starting.
        tls = "upstreams.tls.client_ca=/nope.pem" if name == "alcove-gateway" else "server.tls.certificate=/nope.pem"
        needs = ["--model=m=/m"] if name == "alcove-inference" else []
        wrong = subprocess.run([binary, f"--{tls}", *needs, "--check-config"], capture_output=True, text=True)
        assert wrong.returncode == 2 and tls.split(".tls")[0] + ".tls" in wrong.stderr, wrong
