"""Measures embeddings per second and core: Alcove, ONNX Runtime, OpenVINO, on the same token ids in the same run.

Each runs on one thread, in f32 and, where the processor has it, in bf16. A round runs every contestant on every shape; contestants alternate, and a ratio is
the median over rounds of the ratio within a round, so that drift of the machine cancels. Times are CPU times of the
running thread. The answers are compared before anything is timed.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import onnx_model

SHAPES = [(1, 16), (1, 128), (32, 16), (32, 128)]
ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = float(os.environ.get("SECONDS_EACH", "0.25"))  # CPU time of one measurement, about
BINARY, FOLDER = sys.argv[1], sys.argv[2]


def batch_ids(batch, tokens):
    ids = 1000 + (np.arange(batch)[:, None] * 7919 + np.arange(tokens)[None, :] * 104729) % 20000
    ids[:, 0], ids[:, -1] = 101, 102
    return ids.astype(np.int32)


class Alcove:
    def __init__(self, precision):
        self.name = "alcove " + precision
        self.process = subprocess.Popen([BINARY, FOLDER, precision], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.mode = self.ask("mode")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def embed(self, batch, tokens):
        with tempfile.NamedTemporaryFile() as file:
            self.ask(f"run {batch} {tokens} 1 {file.name}")
            return np.fromfile(file.name, np.float32).reshape(batch, -1)

    def times(self, batch, tokens, count):
        return [float(x) for x in self.ask(f"run {batch} {tokens} {count} -").split()]


class InProcess:
    def embed(self, batch, tokens):
        return self.infer(batch_ids(batch, tokens))

    def times(self, batch, tokens, count):
        ids, out = batch_ids(batch, tokens), []
        for _ in range(count):
            begun = time.process_time()
            self.infer(ids)
            out.append(time.process_time() - begun)
        return out


class OnnxRuntime(InProcess):
    name = "onnxruntime f32"

    def __init__(self, path):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def infer(self, ids):
        return self.session.run(None, {"input_ids": ids})[0]


class OpenVino(InProcess):
    def __init__(self, path, precision):
        import openvino
        self.name = "openvino " + precision
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", {
            "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision})
        self.request = compiled.create_infer_request()

    def infer(self, ids):
        return np.array(self.request.infer({"input_ids": ids})[0])


def cosine(a, b):
    return float(np.min(np.sum(a * b, 1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def cpu_flags():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def hardware():
    model = next((l.split(":")[1].strip() for l in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if l.startswith("model name")), "unknown")
    flags = cpu_flags()
    sets = "+".join(n for n, f in (("avx512", "avx512f"), ("vnni", "avx512_vnni"), ("bf16", "avx512_bf16"), ("amx", "amx_bf16"))
                    if f in flags) or ("avx2" if "avx2" in flags else "baseline")
    return f"{model}, {os.cpu_count()} cores, {sets}"


def corpus():
    """Real texts for the tokenizer: the golden texts of the tests, many times over."""
    root = pathlib.Path(__file__).resolve().parents[2]
    texts = json.loads((root / "services/inference/testdata/embeddings_texts.json").read_text())
    file = tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False)
    file.write("\n".join(t.replace("\n", " ").replace("\r", " ") for t in texts) + "\n")
    file.close()
    return file.name


def main():
    config = json.loads(pathlib.Path(FOLDER, "config.json").read_text())
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as work:
        fused_path, standard_path = work + "/fused.onnx", work + "/standard.onnx"
        onnx_model.fused(FOLDER, config, fused_path)
        onnx_model.standard(FOLDER, config, standard_path)
        alcove = Alcove("f32")
        # Ours, the peer, and the bars by shape.
        pairs = [(alcove, OnnxRuntime(fused_path), dict.fromkeys(SHAPES, 1.0)), (alcove, OpenVino(standard_path, "f32"), {})]
        has_bf16 = bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
        if has_bf16:
            pairs.append((Alcove("bf16"), OpenVino(standard_path, "bf16"), {(1, 16): 1.5, (1, 128): 1.2}))

    contestants = list(dict.fromkeys(c for ours, peer, _ in pairs for c in (ours, peer)))
    reference = {shape: pairs[0][1].embed(*shape) for shape in SHAPES}
    lowest = {c.name: min(cosine(c.embed(*shape), reference[shape]) for shape in SHAPES) for c in contestants}
    for name, value in lowest.items():
        if value < 0.9999:
            sys.exit(f"{name} does not agree with the others: cosine {value}")

    counts = {}
    for c in contestants:
        for shape in SHAPES:
            one = min(c.times(*shape, 3))
            counts[c.name, shape] = max(2, int(SECONDS / max(one, 1e-5)))
    measured = {(c.name, shape): [] for c in contestants for shape in SHAPES}
    for _ in range(ROUNDS):
        for shape in SHAPES:
            for c in contestants:
                measured[c.name, shape].append(statistics.median(c.times(*shape, counts[c.name, shape])))

    print(f"MiniLM-L6-v2, pooled and normalised, tokenizing excluded; {hardware()}; "
          + ", ".join(dict.fromkeys(f"{ours.name}: {ours.mode}" for ours, _, _ in pairs)))
    print(f"{'embeddings/s per core':<20}" + "".join(f"{f'b{b} s{s}':>12}" for b, s in SHAPES) + f"{'min cosine':>12}")
    for c in contestants:
        rates = [b / statistics.median(measured[c.name, (b, s)]) for b, s in SHAPES]
        print(f"{c.name:<20}" + "".join(f"{r:>12.1f}" for r in rates) + f"{lowest[c.name]:>12.6f}")
    for ours, peer, bars in pairs:
        ratios = {shape: statistics.median(p / a for p, a in zip(measured[peer.name, shape], measured[ours.name, shape]))
                  for shape in SHAPES}
        print(f"{'alcove / ' + peer.name:<20}" + "".join(f"{ratios[shape]:>11.2f}x" for shape in SHAPES))
        for (b, s), ratio in ratios.items():
            bar = bars.get((b, s))
            row = {"metric": f"embeddings_b{b}_s{s}_vs_{peer.name.replace(' ', '_')}", "value": round(ratio, 3), "unit": "ratio"}
            rows.append(row | ({"bar": bar, "holds": ratio >= bar} if bar else {}))
    if not has_bf16:
        reason = "this processor has no bf16 instructions, so OpenVINO has no bf16 mode here"
        print("openvino bf16: not run: " + reason)
        rows.append({"metric": "embeddings_vs_openvino_bf16", "value": None, "unit": "ratio", "reason": reason})

    path = corpus()
    speeds, other = [], []
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(FOLDER + "/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = pathlib.Path(path).read_text().split("\n")[:-1]
    for _ in range(ROUNDS):
        tokens, seconds = alcove.ask(f"tokenize {path} 40").split()
        speeds.append(int(tokens) / float(seconds))
        begun = time.process_time()
        count = sum(len(tokenizer.encode(line).ids) for line in lines)
        other.append(count / (time.process_time() - begun))
    if int(tokens) != 40 * count:
        sys.exit(f"the tokenizers disagree: {tokens} tokens against {40 * count}")
    speed, peer_speed = statistics.median(speeds), statistics.median(other)
    print(f"tokenizer: {speed / 1e6:.2f} M tokens/s per core; Hugging Face tokenizers {peer_speed / 1e6:.2f} M")
    rows.append({"metric": "tokenizer_tokens_per_second", "value": round(speed), "unit": "tokens/s", "bar": 1e6, "holds": speed >= 1e6})
    rows.append({"metric": "tokenizer_vs_huggingface", "value": round(speed / peer_speed, 2), "unit": "ratio"})
    os.unlink(path)
    print(json.dumps({"bench": "embed", "hardware": hardware(), "rows": rows}))


if __name__ == "__main__":
    main()
