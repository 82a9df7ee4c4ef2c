"""Runs an ONNX model in ONNX Runtime: MODEL IMAGES OUTPUTS fused|unfused.

IMAGES and OUTPUTS are raw little-endian float32, one image or output after the other; the model takes one image at a time.
"""

import sys

import numpy
import onnxruntime

model, images, outputs, form = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
if form == "unfused":
    # Node by node, as in the file: no fused integer kernels, which round differently.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
image = session.get_inputs()[0]
batch = numpy.fromfile(images, "<f4").reshape(-1, *image.shape)
with open(outputs, "wb") as file:
    for one in batch:
        # Local descriptors, where the model has them, follow the embedding.
        output, *_ = session.run(None, {image.name: one})
        file.write(output.astype("<f4").tobytes())
