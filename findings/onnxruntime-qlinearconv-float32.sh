#!/usr/bin/env bash
# ONNX Runtime's QLinearConv is not the correctly rounded product.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.2.6; CPU provider on x86-64.
# Behaviour: the int32 sum is multiplied by one float32 factor, s_x · s_w / s_y computed in float32,
# and then rounded half to even. With scales of 0.02, 0.05 and 0.1 the exact factor lies a little
# below 0.01 and the float32 one turns near ties into ties: outputs differ by 1 from the exact
# product of the same three float32 scales, rounded. The operator's specification leaves the
# precision of the factor open.
# What to do: "equal to ONNX Runtime" and "correctly rounded" are two claims. Test them apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(0)
x = random.integers(0, 256, (1, 64, 32, 32), dtype=np.uint8)
w = random.integers(-2, 3, (32, 64, 3, 3), dtype=np.int8)
scales = {"sx": np.float32(0.02), "sw": np.float32(0.05), "sy": np.float32(0.1)}
constants = {**scales, "zx": np.uint8(0), "zw": np.int8(0), "zy": np.uint8(128), "w": w}
node = helper.make_node("QLinearConv", ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy"], ["y"])
graph = helper.make_graph(
    [node],
    "layer",
    [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
    [helper.make_tensor_value_info("y", TensorProto.UINT8, (1, 32, 30, 30))],
    [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(seen,) = session.run(None, {"x": x})

windows = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.int64), (3, 3), (1, 2))
sums = np.einsum("chwij,ocij->ohw", windows, w.astype(np.int64))
exact = Fraction(float(scales["sx"])) * Fraction(float(scales["sw"])) / Fraction(float(scales["sy"]))
rounded = np.array([round(int(value) * exact) for value in sums.ravel()]).reshape(sums.shape)
factor = np.float32(scales["sx"] * scales["sw"]) / scales["sy"]
in_float = np.rint(sums.astype(np.float32) * factor).astype(np.int64)


def codes(values):
    return np.clip(values + 128, 0, 255)


differences = np.abs(codes(rounded) - seen[0].astype(np.int64))
print("outputs equal to the float32 formula:", bool((codes(in_float) == seen[0]).all()))
print("some outputs differ from the exact product:", bool((differences > 0).any()))
print("largest difference:", differences.max())
print(f"share: {100 * (differences > 0).mean():.1f}%")
PY

diff - "$folder/seen" <<'SEEN'
outputs equal to the float32 formula: True
some outputs differ from the exact product: True
largest difference: 1
share: 0.9%
SEEN
echo "as stated"
