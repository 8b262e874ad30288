"""Data sets of the vector benchmark: generated once, cached, with exact answers."""

import pathlib

import numpy as np

K = 10


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
        block = np.einsum("nl,nld->nd", z, bases[who % 64], optimize=True) if dim <= 128 else np.concatenate(
            [(z[i:i + 1] @ bases[c % 64]) for i, c in enumerate(who)])
        out[start:start + 4096] = centres[who] + 0.9 * block + 0.05 * rng.standard_normal((len(who), dim)).astype(np.float32)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def hard(rows: int, dim: int, seed: int):
    """No clusters, every dimension free: the case no graph likes."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((rows, dim)).astype(np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def read_vectors(path: str) -> np.ndarray:
    """[rows, dim] float32 from .npy or .fvecs (each row: int32 dim, dim floats)."""
    if path.endswith(".npy"):
        return np.ascontiguousarray(np.load(path), np.float32)
    raw = np.fromfile(path, np.int32)
    return np.ascontiguousarray(raw.reshape(-1, raw[0] + 1)[:, 1:]).view(np.float32)


def from_file(path: str, queries: int = 1000, seed: int = 5):
    """Real embeddings: duplicates removed, `queries` rows held out."""
    vectors = np.unique(read_vectors(path), axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.random.default_rng(seed).shuffle(vectors)
    return vectors[queries:], vectors[:queries]


def exact(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The K nearest rows of each query by inner product."""
    best = np.empty((len(queries), K), np.int32)
    for start in range(0, len(queries), 100):
        scores = queries[start:start + 100] @ base.T
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        best[start:start + 100] = np.take_along_axis(top, order, axis=1)
    return best


def load(name: str, rows: int, cache: pathlib.Path, file: str | None = None):
    """(base, queries, truth, folder); everything normalised, so cosine, inner product and L2 rank alike."""
    folder = cache / f"{name}-{rows}-v1"
    if not (folder / "truth.i32").exists():
        folder.mkdir(parents=True, exist_ok=True)
        count = 1000
        if file:
            base, queries = from_file(file, count)
        else:
            dim = int(name.removeprefix("hard").removeprefix("s").split("-")[0])
            make = hard if name.startswith("hard") else clustered
            both = make(rows + count, dim, seed=20240)
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
