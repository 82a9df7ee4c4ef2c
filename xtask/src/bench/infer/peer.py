"""Runs the contenders of `cargo xtask bench infer` in turns; also the contender for ONNX Runtime.

    python peer.py onnxruntime MODEL.onnx THREADS    a contender: ONNX Runtime
    python peer.py rewrite MODEL.onnx OUT.onnx       converts the model for rten
    python peer.py turns CONTENDERS.json --rounds 9 --runs 20

A contender is a program that prints a line of JSON with its name and load_ms when its model is loaded; for each number N that it reads,
one with least_ms and median_ms of N runs; and one with peak_bytes at the end of its input. All are alive at once but work one at a time,
so that other load on the machine affects all. Prints one JSON object.
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
    # Threads that spin between runs would occupy the core of the next contender.
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

    # rten 0.27 does not read packed repeated fields, which protobuf allows and our export writes.
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
    # The first round warms up caches and is not counted.
    for turn in range(rounds + 1):
        for contender, program in zip(contenders, programs):
            program.stdin.write(f"{runs}\n")
            program.stdin.flush()
            answer = json.loads(program.stdout.readline())
            if turn:
                contender["least_ms"].append(answer["least_ms"])
                contender["median_ms"].append(answer["median_ms"])
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
