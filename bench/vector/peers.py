"""The peers, each with the settings its documentation recommends for recall at this scale: M = 16 (degree 32).

A peer is a function (base, queries, threads) -> list of (label, build CPU seconds, bytes a vector, [search, ...]): search()
runs all queries on one thread and returns ids [queries, K]. Searches are in the order of growing effort.
"""

import time

import numpy as np

from data import K

EFS = (10, 12, 15, 20, 25, 30, 40, 60, 80, 120, 160, 240, 320, 480)


def hnswlib(base, queries, threads):
    import hnswlib as lib

    index = lib.Index(space="ip", dim=base.shape[1])
    index.init_index(max_elements=len(base), M=16, ef_construction=128, random_seed=1)
    start = time.process_time()
    index.add_items(base, num_threads=threads)
    build = time.process_time() - start

    def at(ef):
        def search():
            index.set_ef(ef)
            return index.knn_query(queries, k=K, num_threads=1)[0]
        return search
    return [("hnswlib", build, base.shape[1] * 4 + 32 * 4 + 4 + 8 + 9, [at(ef) for ef in EFS])]


def faiss_hnsw(base, queries, threads):
    import faiss

    dim = base.shape[1]
    graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 128
    refined = faiss.IndexRefineFlat(graph)
    faiss.omp_set_num_threads(threads)
    start = time.process_time()
    refined.train(base)
    refined.add(base)
    build = time.process_time() - start
    faiss.omp_set_num_threads(1)

    def at(index, ef):
        def search():
            graph.hnsw.efSearch = ef
            refined.k_factor = min(2.0, max(1.0, ef / K))
            return index.search(queries, K)[1]
        return search
    return [("faiss HNSW-SQ8", build, dim + 32 * 4 + 16, [at(graph, ef) for ef in EFS]),
            ("faiss HNSW-SQ8+refine", build, dim * 5 + 32 * 4 + 16, [at(refined, ef) for ef in EFS])]


def faiss_ivf(base, queries, threads):
    import faiss

    dim = base.shape[1]
    index = faiss.index_factory(dim, f"IVF1024,PQ{dim // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT)
    faiss.omp_set_num_threads(threads)
    start = time.process_time()
    index.train(base)
    index.add(base)
    build = time.process_time() - start
    faiss.omp_set_num_threads(1)

    def at(probes, factor):
        def search():
            faiss.extract_index_ivf(index.base_index).nprobe = probes
            index.k_factor = factor
            return index.search(queries, K)[1]
        return search
    settings = [(1, 2), (2, 3), (4, 3), (8, 3), (8, 6), (16, 3), (16, 6), (32, 6), (64, 8), (128, 10)]
    return [("faiss IVF-PQfs+refine", build, dim * 4 + dim // 4 + 8, [at(*s) for s in settings])]


def _usearch(dtype):
    def run(base, queries, threads):
        from usearch.index import Index

        index = Index(ndim=base.shape[1], metric="cos", dtype=dtype, connectivity=16, expansion_add=128)
        start = time.process_time()
        index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)
        build = time.process_time() - start

        def at(ef):
            def search():
                index.expansion_search = ef
                return index.search(queries, K, threads=1).keys
            return search
        return [(f"usearch {dtype}", build, index.memory_usage / len(base), [at(ef) for ef in EFS])]
    return run


def svs(base, queries, threads):
    import svs as lib

    parameters = lib.VamanaBuildParameters(alpha=0.95, graph_max_degree=32, window_size=128)
    start = time.process_time()
    index = lib.Vamana.build(parameters, base.astype(np.float16), lib.DistanceType.MIP, num_threads=threads)
    build = time.process_time() - start
    index.num_threads = 1

    def at(ef):
        def search():
            index.search_window_size = ef
            return index.search(queries, K)[0]
        return search
    return [("svs f16", build, base.shape[1] * 2 + 33 * 4, [at(ef) for ef in EFS])]


PEERS = {
    "hnswlib": hnswlib,
    "svs": svs,
    "usearch i8": _usearch("i8"),
    "usearch f16": _usearch("f16"),
    "faiss HNSW": faiss_hnsw,
    "faiss IVF": faiss_ivf,
}
