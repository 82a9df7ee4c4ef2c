"""The peers of `cargo xtask bench search`: exact search with faiss and usearch, in turns with Flukewatch.

    python peer.py OURS FOLDER --rounds 5

FOLDER is the output of `OURS draw`, OURS is Flukewatch's program. All run on one thread, one query at a time, as on a boat. Each round
runs all queries on each of them. Prints one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version

import faiss
import numpy
from usearch.index import MetricKind, search

# Number of results, the same as that of Flukewatch.
MOST = 5


def codes(rows):
    """Quantises to one byte per number, with the scale of each row's largest number, as usearch does with floats."""
    out = numpy.empty(rows.shape, numpy.int8)
    for start in range(0, len(rows), 65536):
        part = rows[start : start + 65536]
        out[start : start + 65536] = numpy.rint(part * (127 / numpy.abs(part).max(axis=1, keepdims=True)))
    return out


def faiss_flat(rows):
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return lambda query: index.search(query, MOST)[1][0, 0]


def faiss_int8(kind, rows):
    # One scale for all rows, so that scores compare; "direct" kinds take numbers that are codes already.
    scale = numpy.float32(127 / numpy.abs(rows).max()) if "direct" in kind else numpy.float32(1)
    index = faiss.IndexScalarQuantizer(
        rows.shape[1], getattr(faiss.ScalarQuantizer, kind), faiss.METRIC_INNER_PRODUCT
    )
    index.train(rows[:65536] * scale)
    for start in range(0, len(rows), 65536):
        index.add(rows[start : start + 65536] * scale)
    return lambda query: index.search(query * scale, MOST)[1][0, 0]


def usearch_exact(rows, prepare):
    return lambda query: search(rows, prepare(query), MOST, MetricKind.Cos, exact=True, threads=1).keys[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours")
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, required=True)
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)

    queries = numpy.fromfile(os.path.join(args.folder, "queries.f32"), "<f4")
    ours = subprocess.Popen(
        [args.ours, "serve", args.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(what):
        ours.stdin.write(what + "\n")
        ours.stdin.flush()
        return json.loads(ours.stdout.readline())

    floats = ask("floats")
    queries = queries.reshape(len(floats["first"]), -1)
    rows = numpy.fromfile(os.path.join(args.folder, "embeddings.f32"), "<f4").reshape(-1, queries.shape[1])
    small = codes(rows)
    peers = {
        "faiss flat f32": faiss_flat(rows),
        "faiss int8": faiss_int8("QT_8bit_direct_signed", rows),
        "faiss int8 by number": faiss_int8("QT_8bit", rows),
        "faiss int8 uniform": faiss_int8("QT_8bit_uniform", rows),
        "usearch exact f32": usearch_exact(rows, lambda query: query),
        "usearch exact int8": usearch_exact(small, codes),
    }

    def look_up(search_one):
        milliseconds, first = [], []
        for at in range(len(queries)):
            query = queries[at : at + 1]
            began = time.perf_counter()
            first.append(int(search_one(query)))
            milliseconds.append((time.perf_counter() - began) * 1e3)
        return {"milliseconds": milliseconds, "first": first}

    result = {name: {"milliseconds": [], "same": 0} for name in ["Flukewatch", *peers]}
    # The first round warms up.
    for round_ in range(args.rounds + 1):
        for name in result:
            answer = ask("search") if name == "Flukewatch" else look_up(peers[name])
            if round_ > 0:
                result[name]["milliseconds"] += answer["milliseconds"]
            result[name]["same"] = sum(a == b for a, b in zip(answer["first"], floats["first"]))
            if name == "Flukewatch":
                kernel, mapped = answer["kernel"], answer["mapped"]
    ours.stdin.close()
    ours.wait()
    json.dump(
        {
            "searches": [{"name": name, **each} for name, each in result.items()],
            "queries": len(queries),
            "kernel": kernel,
            "mapped": mapped,
            "versions": {name: version(name) for name in ["faiss-cpu", "usearch", "numpy"]},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
