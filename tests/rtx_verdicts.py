"""Checks ONNX models with TensorRT-RTX, without a GPU: parses each and builds its plan.

    python rtx_verdicts.py MODEL.onnx...

Prints a JSON list of {built, reasons}, in the order of the files.
"""

import json
import sys

import tensorrt_rtx as trt


class Log(trt.ILogger):
    """Collects error messages instead of printing them."""

    def __init__(self):
        trt.ILogger.__init__(self)
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


def verdict(path):
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    with open(path, "rb") as file:
        parsed = parser.parse(file.read())
    if not parsed:
        return {"built": False, "reasons": [parser.get_error(i).desc() for i in range(parser.num_errors)]}
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    return {"built": plan is not None, "reasons": [] if plan is not None else log.errors}


print(json.dumps([verdict(path) for path in sys.argv[1:]]))
