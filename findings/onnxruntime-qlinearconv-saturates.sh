#!/usr/bin/env bash
# On x86 without dot-product instructions, ONNX Runtime's QLinearConv of int8 weights saturates;
# its ConvInteger, on the same CPU and numbers, does not.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.2.6; CPU provider on x86-64.
# Behaviour: 2 x 255 x 127 = 64,770, divided by 1,000, is 65. Without VNNI the pair of products is
# added in 16 bits, 32,767, and QLinearConv answers 33; with graph optimizations off, too. With
# uint8 weights it is exact, and so is ConvInteger with the same int8 weights. With AVX512-VNNI or
# AVX-VNNI all four are exact. One file has other answers on two machines, and no message says so.
# What to do: before you call a second implementation wrong, ask the runtime for one such pair;
# weights within 64 of 0 cannot saturate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

x = np.full((1, 2, 1, 1), 255, np.uint8)


def answer(operator, kind, top):
    weights = np.full((4, 2, 1, 1), top, kind)
    constants = {"w": weights, "zx": np.uint8(0), "zw": kind(0)}
    if operator == "QLinearConv":
        constants |= {"s": np.float32(1), "sy": np.float32(1000), "zy": np.uint8(0)}
        node = helper.make_node(operator, ["x", "s", "zx", "w", "s", "zw", "sy", "zy"], ["y"])
        out = TensorProto.UINT8
    else:
        node = helper.make_node(operator, ["x", "w", "zx", "zw"], ["y"])
        out = TensorProto.INT32
    graph = helper.make_graph(
        [node],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", out, (1, 4, 1, 1))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return int(session.run(None, {"x": x})[0].ravel()[0])


for operator in ("QLinearConv", "ConvInteger"):
    for kind, top in ((np.int8, 127), (np.uint8, 255)):
        print(operator, kind.__name__, answer(operator, kind, top))
PY
cat "$folder/seen"
if grep -qE '\b(avx512_vnni|avx_vnni)\b' /proc/cpuinfo; then first=65; else first=33; fi
diff "$folder/seen" - <<SEEN
QLinearConv int8 $first
QLinearConv uint8 130
ConvInteger int8 64770
ConvInteger uint8 130050
SEEN
echo "as described"
