#!/usr/bin/env bash
# LiteRT's reference kernels round int8 convolutions twice and fully connected layers once.
#
# Versions: ai-edge-litert 2.3.0, flatbuffers 25.12.19, numpy 2.2.6; x86-64.
# Behaviour: with OpResolverType.BUILTIN_REF, CONV_2D brings its int32 sum to int8 by a doubling
# high multiply, which rounds, and a shift, which rounds again, halves away from zero. FULLY_CONNECTED
# multiplies and rounds once, halves away from zero. The same weights, biases and scales, as a 1x1
# convolution and as a fully connected layer, then give different codes.
# What one would expect: one rule for one set of kernels, as TFLite's 8-bit specification names the
# reference kernels as what others are compared with.
# What to do: name the operator along with the kernel when a result is called "equal to TFLite".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.2.6

"$folder/venv/bin/python" - > "$folder/seen" 2> "$folder/log" <<'PY'
import math

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as s

COUNT, X, W, Y = 4096, np.float32(0.02), np.float32(0.0051), np.float32(0.13)
biases = np.random.default_rng(0).integers(-150_000, 150_000, COUNT).astype(np.int32)


def run(kind, shape, options):
    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.subgraphs, model.buffers, graph.tensors = 3, [graph], [s.BufferT()], []
    ends = [1] * (2 if shape == 2 else 4)
    rows = [("x", [*ends[:-1], 1], 9, X, None), ("w", [COUNT, *ends[1:]], 9, W, np.zeros(COUNT, np.int8)),
            ("b", [COUNT], 2, X * W, biases), ("y", [*ends[:-1], COUNT], 9, Y, None)]  # fmt: skip
    for name, sides, dtype, scale, values in rows:
        tensor, about = s.TensorT(), s.QuantizationParametersT()
        tensor.name, tensor.shape, tensor.type, tensor.quantization = name.encode(), sides, dtype, about
        about.scale, about.zeroPoint = [float(scale)], [0]
        if values is not None:
            model.buffers.append(s.BufferT())
            model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
    code, operator = s.OperatorCodeT(), s.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, kind)
    operator.inputs, operator.outputs, operator.builtinOptions = [0, 1, 2], [3], options
    operator.builtinOptionsType = getattr(s.BuiltinOptions, type(options).__name__[:-1])
    model.operatorCodes, graph.operators, graph.inputs, graph.outputs = [code], [operator], [0], [3]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    reference = litert.OpResolverType.BUILTIN_REF
    it = litert.Interpreter(model_content=bytes(builder.Output()), experimental_op_resolver_type=reference)
    it.allocate_tensors()
    it.invoke()  # the input is zeros, so that every sum is its bias
    return it.get_tensor(3).reshape(-1).astype(int)


window = s.Conv2DOptionsT()
window.strideH = window.strideW = window.dilationHFactor = window.dilationWFactor = 1
conv, fc = run("CONV_2D", 4, window), run("FULLY_CONNECTED", 2, s.FullyConnectedOptionsT())
factor = float(X) * float(W) / float(Y)
fraction, exponent = math.frexp(factor)
first = (biases.astype(np.int64) * round(fraction * 2**31) + (1 << 30)) >> 31
mask = (1 << -exponent) - 1
twice = (first >> -exponent) + ((first & mask) > (mask >> 1) + (first < 0))
once = np.trunc(biases * factor + np.copysign(0.5, biases)).astype(int)
print("convolution rounds twice:", bool((conv == np.clip(twice, -128, 127)).all()))
print("fully connected rounds once:", bool((fc == np.clip(once, -128, 127)).all()))
print("they differ:", bool((conv != fc).any()))
PY

diff - "$folder/seen" <<'SEEN'
convolution rounds twice: True
fully connected rounds once: True
they differ: True
SEEN
echo "as stated"
