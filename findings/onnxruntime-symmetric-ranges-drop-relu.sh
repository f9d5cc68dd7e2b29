#!/usr/bin/env bash
# ONNX Runtime's static quantization: an option about ranges takes the ReLUs out of the network.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.2.6.
# Behaviour: quantize_static removes a Relu behind a Conv or Gemm, since a QuantizeLinear whose lowest
# code is 0.0 clips as well. With CalibTensorRangeSymmetric, or with CalibrationMethod.Distribution
# (made for float8, and taken for int8 without a word), the range is [−t, t] and the lowest code is
# −t, but the Relu is removed all the same: int8 or uint8, QDQ or QOperator, negative values pass.
# Only ActivationSymmetric keeps the Relu. Nothing is raised or logged; the file is valid, smaller,
# and another network.
# What one would expect: that an option of calibration chooses scales and zero points.
# What to do: for symmetric activations give ActivationSymmetric, and compare the answers with the
# float network's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6

cd "$folder"
"$folder/venv/bin/python" - > "$folder/seen" 2> "$folder/log" <<'PY'
import contextlib
import io

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

random = np.random.default_rng(0)
images = random.random((32, 3, 8, 8)).astype(np.float32)
weights = random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), helper.make_node("Relu", ["c"], ["y"], name="relu")],
    "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 8, 6, 6])],
    [numpy_helper.from_array(weights, "w")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), "float.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": images}])

    def get_next(self):
        return next(self.batches, None)


ranges = {"CalibTensorRangeSymmetric": True}
for name, options in {
    "defaults": {},
    "symmetric ranges": {"extra_options": ranges},
    "symmetric ranges, uint8": {"extra_options": ranges, "activation_type": QuantType.QUInt8},
    "symmetric ranges, QOperator": {"extra_options": ranges, "quant_format": QuantFormat.QOperator},
    "Distribution": {"calibrate_method": CalibrationMethod.Distribution},
    "symmetric activations": {"extra_options": {"ActivationSymmetric": True}},
}.items():
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static("float.onnx", "int8.onnx", Images(), **options)
    kept = any(node.op_type == "Relu" for node in onnx.load("int8.onnx").graph.node)
    session = onnxruntime.InferenceSession("int8.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": images})
    print(f"{name}: Relu {'kept' if kept else 'removed'}, lowest output {'0' if found.min() == 0 else 'negative'}")
PY

diff - "$folder/seen" <<'SEEN'
defaults: Relu removed, lowest output 0
symmetric ranges: Relu removed, lowest output negative
symmetric ranges, uint8: Relu removed, lowest output negative
symmetric ranges, QOperator: Relu removed, lowest output negative
Distribution: Relu removed, lowest output negative
symmetric activations: Relu kept, lowest output 0
SEEN
echo "as stated"
