"""The peers, each with the settings its documentation recommends for recall at this scale: M = 16 (degree 32).

A peer is a function (base, queries, threads) -> (build_cpu_s, bytes_per_vector or None, [(setting, search)]), where
search() runs all queries on one thread and returns ids [queries, K].
"""

import time

import numpy as np

from data import K

EFS = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480)


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
    return build, base.shape[1] * 4 + 32 * 4 + 4 + 8 + 9, [(ef, at(ef)) for ef in EFS]


def _faiss(kind):
    def run(base, queries, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        dim = base.shape[1]
        metric = faiss.METRIC_INNER_PRODUCT
        if kind == "flat":
            index = faiss.IndexHNSWFlat(dim, 16, metric)
        else:
            index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 16, metric)
        graph = index
        index.hnsw.efConstruction = 128
        if kind == "sq8+refine":
            index = faiss.IndexRefineFlat(index)
        start = time.process_time()
        index.train(base)
        index.add(base)
        build = time.process_time() - start
        faiss.omp_set_num_threads(1)

        def at(ef):
            def search():
                graph.hnsw.efSearch = ef
                if kind == "sq8+refine":
                    index.k_factor = min(2.0, max(1.0, ef / K))
                return index.search(queries, K)[1]
            return search
        code = dim * 4 if kind == "flat" else dim
        more = dim * 4 if kind == "sq8+refine" else 0
        return build, code + more + 32 * 4 + 16, [(ef, at(ef)) for ef in EFS]
    return run


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
        return build, index.memory_usage / len(base), [(ef, at(ef)) for ef in EFS]
    return run


def svs(base, queries, threads):
    import svs as lib

    parameters = lib.VamanaBuildParameters(alpha=0.95, graph_max_degree=32, window_size=128, num_threads=threads) \
        if _svs_has_threads(lib) else lib.VamanaBuildParameters(alpha=0.95, graph_max_degree=32, window_size=128)
    start = time.process_time()
    index = lib.Vamana.build(parameters, base.astype(np.float16), lib.DistanceType.MIP, num_threads=threads)
    build = time.process_time() - start
    index.num_threads = 1

    def at(ef):
        def search():
            index.search_window_size = ef
            return index.search(queries, K)[0]
        return search
    return build, base.shape[1] * 2 + 33 * 4, [(ef, at(ef)) for ef in EFS]


def _svs_has_threads(lib):
    return "num_threads" in (lib.VamanaBuildParameters.__init__.__doc__ or "")


PEERS = {
    "hnswlib": hnswlib,
    "faiss HNSW": _faiss("flat"),
    "faiss HNSW-SQ8": _faiss("sq8"),
    "faiss HNSW-SQ8+refine": _faiss("sq8+refine"),
    "usearch f16": _usearch("f16"),
    "usearch i8": _usearch("i8"),
    "svs f16": svs,
}
