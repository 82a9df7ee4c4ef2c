"""Runs the contenders of `cargo xtask bench infer` in turns, and is one of them itself.

    python peer.py onnxruntime MODEL.onnx THREADS    a contender: ONNX Runtime
    python peer.py rewrite MODEL.onnx OUT.onnx       the same model as ONNX Runtime writes it, which rten reads
    python peer.py turns CONTENDERS.json --rounds 9 --runs 20

A contender is a program that prints a line of JSON with its name and load_ms when its model is loaded; for each number that it reads,
one with least_ms and median_ms of so many runs; and one with peak_bytes when its input ends. All are alive at once, and one at a time
works, so that what disturbs the machine disturbs all. Prints one JSON object.
"""

import argparse
import json
import subprocess
import sys
import time


def onnxruntime(model, threads):
    import numpy
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A pool that spins between runs would take the core from whoever's turn it is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads > 1 else "1")
    started = time.perf_counter()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - started) * 1e3
    print(json.dumps({"name": f"ONNX Runtime {ort.__version__}", "load_ms": load_ms}), flush=True)
    given = session.get_inputs()[0]
    count = numpy.prod(given.shape)
    image = {given.name: numpy.sin(numpy.arange(count) * 0.37).astype(numpy.float32).reshape(given.shape)}
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            started = time.perf_counter()
            session.run(None, image)
            times.append((time.perf_counter() - started) * 1e3)
        times.sort()
        print(json.dumps({"least_ms": times[0], "median_ms": times[len(times) // 2]}), flush=True)
    with open("/proc/self/status") as status:
        peak = next(int(l.split()[1]) * 1024 for l in status if l.startswith("VmHWM:"))
    print(json.dumps({"peak_bytes": peak}), flush=True)


def rewrite(model, out):
    import onnxruntime as ort

    # rten 0.27 refuses lists of numbers that are packed, as protobuf allows and our export writes.
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = out
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def turns(contenders, rounds, runs):
    programs = []
    for contender in contenders:
        program = subprocess.Popen(
            contender["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        programs.append(program)
        contender.update(json.loads(program.stdout.readline()))
        contender.update(least_ms=[], median_ms=[])
    # The first round warms caches and counts for nothing.
    for turn in range(rounds + 1):
        for contender, program in zip(contenders, programs):
            program.stdin.write(f"{runs}\n")
            program.stdin.flush()
            told = json.loads(program.stdout.readline())
            if turn:
                contender["least_ms"].append(told["least_ms"])
                contender["median_ms"].append(told["median_ms"])
    for contender, program in zip(contenders, programs):
        program.stdin.close()
        contender.update(json.loads(program.stdout.readline()))
        if program.wait() != 0:
            sys.exit(f"{contender['command']} ended with {program.returncode}")
        del contender["command"]
    print(json.dumps(contenders))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["onnxruntime", "rewrite", "turns"])
    parser.add_argument("file")
    parser.add_argument("last", nargs="?", default="1")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    if args.what == "onnxruntime":
        onnxruntime(args.file, int(args.last))
    elif args.what == "rewrite":
        rewrite(args.file, args.last)
    else:
        with open(args.file) as file:
            turns(json.load(file), args.rounds, args.runs)


main()
