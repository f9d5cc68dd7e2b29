#!/usr/bin/env bash
# ONNX Runtime's entropy calibration chooses between one range, that of MinMax.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.2.6.
# Behaviour: quantize_static with CalibrationMethod.Entropy makes a histogram of 128 bins and tries
# every range that has at least as many bins as there are quantized bins: 128 again. So one range is
# tried, the whole one, and scales and zero points are those of MinMax; a single value of 100 among
# 24,576 normal ones stretches the scale of all, where entropy calibration is taken up to leave it out.
# quantize_static passes no number of bins on: num_bins among its extra_options changes nothing.
# create_calibrator takes it, and clips with 2,048. Percentile leaves the value out at 99.9, not at its
# default of 99.999, beyond which a quarter of a value lies here.
# What one would expect: a threshold as that of TensorRT's entropy calibration, 2,048 bins for 128.
# What to do: compare the scales with MinMax's; give CalibPercentile, or a calibrator with more bins.
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
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator, quantize_static

images = np.random.default_rng(0).normal(size=(128, 3, 8, 8)).astype(np.float32)
images[0, 0, 0, 0] = 100
weights = np.ones((1, 3, 1, 1), np.float32)
graph = helper.make_graph(
    [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
    "net",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1, 8, 8])],
    [numpy_helper.from_array(weights, "w")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), "float.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": images}])

    def get_next(self):
        return next(self.batches, None)


entropy, percentile = CalibrationMethod.Entropy, CalibrationMethod.Percentile
for name, method, options in (
    ("MinMax", CalibrationMethod.MinMax, {}),
    ("Entropy", entropy, {}),
    ("Entropy, num_bins 2048", entropy, {"num_bins": 2048}),
    ("Percentile", percentile, {}),
    ("Percentile 99.9", percentile, {"CalibPercentile": 99.9}),
):
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static("float.onnx", "int8.onnx", Images(), calibrate_method=method, extra_options=options)
    numbers = {one.name: numpy_helper.to_array(one) for one in onnx.load("int8.onnx").graph.initializer}
    print(f"{name}: the inputs' scale {float(numbers['x_scale']):.3f}")
with contextlib.redirect_stdout(io.StringIO()):
    calibrator = create_calibrator("float.onnx", calibrate_method=entropy, extra_options={"num_bins": 2048})
    calibrator.collect_data(Images())
    top = calibrator.compute_data()["x"].range_value[1]
print("a calibrator of 2048 bins ends below 20:", bool(top < 20))
PY

diff - "$folder/seen" <<'SEEN'
MinMax: the inputs' scale 0.410
Entropy: the inputs' scale 0.410
Entropy, num_bins 2048: the inputs' scale 0.410
Percentile: the inputs' scale 0.410
Percentile 99.9: the inputs' scale 0.026
a calibrator of 2048 bins ends below 20: True
SEEN
echo "as stated"
