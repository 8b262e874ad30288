"""Data sets of the vector benchmark: made once, cached, with exact answers."""

import os
import pathlib
import subprocess
import sys

import numpy as np

K = 10
QUERIES = 1000
ROOT = pathlib.Path(__file__).resolve().parents[2]


def clustered(rows: int, dim: int, seed: int, latent: int = 20):
    """Clusters on a curved manifold: local intrinsic dimension about `latent`, embedded in `dim` dimensions.

    Each cluster has a centre, and its own linear map from `latent` coordinates; a little noise covers the rest.
    Cluster sizes differ by a factor of about twenty, as topics in real text do.
    """
    rng = np.random.default_rng(seed)
    clusters = max(16, rows // 500)
    weights = rng.lognormal(0.0, 0.8, clusters)
    weights /= weights.sum()
    topics = rng.standard_normal((max(8, clusters // 16), dim)).astype(np.float32)
    centres = topics[rng.integers(len(topics), size=clusters)] + 0.7 * rng.standard_normal((clusters, dim)).astype(np.float32)
    bases = rng.standard_normal((64, latent, dim)).astype(np.float32) / np.sqrt(latent)
    assigned = rng.choice(clusters, size=rows, p=weights)
    out = np.empty((rows, dim), np.float32)
    for start in range(0, rows, 4096):
        who = assigned[start:start + 4096]
        z = rng.standard_normal((len(who), latent)).astype(np.float32)
        z += 0.3 * np.sin(2 * z[:, ::-1])
        block = np.empty((len(who), dim), np.float32)
        for base in range(64):
            chosen = who % 64 == base
            block[chosen] = z[chosen] @ bases[base]
        out[start:start + 4096] = centres[who] + 0.9 * block + 0.05 * rng.standard_normal((len(who), dim)).astype(np.float32)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def hard(rows: int, dim: int, seed: int):
    """No clusters, every dimension free: the case no graph likes."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((rows, dim)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def wordnet_texts(cache: pathlib.Path) -> list[str]:
    """The definitions of WordNet 3.0 (Debian package wordnet-base), without their examples, each once."""
    folder = pathlib.Path("/usr/share/wordnet")
    if not folder.exists():
        work = cache / "wordnet-base"
        work.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "wordnet-base"], cwd=work, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", next(work.glob("wordnet-base_*.deb")), work / "files"], check=True)
        folder = work / "files/usr/share/wordnet"
    texts = {}
    for part in ("adj", "adv", "noun", "verb"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):
                texts[line.split(" | ", 1)[1].split('; "')[0].strip()] = None
    return list(texts)


def wordnet(cache: pathlib.Path, rows: int):
    """Definitions embedded by the suite's own sentence model; `rows` of them (0: all) and 1,000 others as queries."""
    file = cache / "wordnet.f32"
    if not file.exists():
        texts = cache / "wordnet.txt"
        texts.write_text("\n".join(wordnet_texts(cache)) + "\n")
        model = pathlib.Path(os.environ.get("ALCOVE_LOCAL", ROOT / ".local")) / "models/all-MiniLM-L6-v2"
        subprocess.run([ROOT / "scripts/fetch_model.sh", model], check=True, stdout=sys.stderr)
        print("embedding WordNet, once; about ten minutes on two cores", file=sys.stderr)
        subprocess.run([os.environ["EMBEDDER"], model, texts, file], check=True)
    vectors = np.unique(np.fromfile(file, np.float32).reshape(-1, 384), axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.random.default_rng(5).shuffle(vectors)
    base = vectors[QUERIES:]
    return base[:rows] if rows else base, vectors[:QUERIES]


def exact(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The K nearest rows of each query by inner product."""
    best = np.empty((len(queries), K), np.int32)
    for start in range(0, len(queries), 100):
        scores = queries[start:start + 100] @ base.T
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        best[start:start + 100] = np.take_along_axis(top, order, axis=1)
    return best


def load(name: str, rows: int, cache: pathlib.Path):
    """(base, queries, truth, folder); everything normalised, so cosine, inner product and L2 rank alike."""
    folder = cache / f"{name}-{rows or 'all'}-v2"
    if not (folder / "truth.i32").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if name == "wordnet":
            base, queries = wordnet(cache, rows)
        else:
            dim = int(name.removeprefix("hard").removeprefix("s").split("-")[0])
            make = hard if name.startswith("hard") else clustered
            both = make(rows + QUERIES, dim, seed=20240)
            base, queries = both[:rows], both[rows:]
        base.tofile(folder / "base.f32")
        queries.tofile(folder / "queries.f32")
        (folder / "dim").write_text(str(base.shape[1]))
        exact(base, queries).tofile(folder / "truth.i32")
    dim = int((folder / "dim").read_text())
    base = np.fromfile(folder / "base.f32", np.float32).reshape(-1, dim)
    queries = np.fromfile(folder / "queries.f32", np.float32).reshape(-1, dim)
    truth = np.fromfile(folder / "truth.i32", np.int32).reshape(-1, K)
    return base, queries, truth, folder
