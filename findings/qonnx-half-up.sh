#!/usr/bin/env bash
# QONNX's Quant: HALF_UP rounds half away from zero, and the zero point is added before rounding.
#
# Versions: qonnx 1.0.0, numpy 2.2.6.
# Behaviour: ROUND is half to even. HALF_UP turns −0.5 into −1, where "half up" usually means toward
# +∞ (−0.5 becomes 0). HALF_DOWN is half toward zero. The zero point is added first and the sum is
# rounded; ONNX's QuantizeLinear rounds first and adds then. With an odd zero point every tie comes
# out one apart: 0.5 with zero point 1 gives 1 here (round(1.5) − 1), and 0 by QuantizeLinear.
# Unsigned with narrow = 1 ends at 2^b − 2.
# What to do: the order of rounding and adding belongs to the dialect; test ties, with odd zero points.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet qonnx==1.0.0 numpy==2.2.6

"$folder/venv/bin/python" - > "$folder/seen" 2> "$folder/errors" <<'PY' || { cat "$folder/errors" >&2; exit 1; }
import numpy as np
from qonnx.custom_op.general.quant import quant


def run(values, *, zero=0, signed=1, narrow=0, mode="ROUND"):
    numbers = [np.float32(one) for one in (1, zero, 8)]  # scale, zero point, bits
    found = quant(
        np.array(values, np.float32), *numbers, signed=signed, narrow=narrow, rounding_mode=mode
    )
    return [int(value) for value in found]


ties = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5]
for mode in ("ROUND", "HALF_UP", "HALF_DOWN"):
    print(mode, run(ties, mode=mode))
print("ROUND, zero point 1", run(ties, zero=1))
print("unsigned narrow", run([255, 300], signed=0, narrow=1))
PY

diff - "$folder/seen" <<'SEEN'
ROUND [0, 2, 2, 0, -2, -2]
HALF_UP [1, 2, 3, -1, -2, -3]
HALF_DOWN [0, 1, 2, 0, -1, -2]
ROUND, zero point 1 [1, 1, 3, -1, -1, -3]
unsigned narrow [254, 254]
SEEN
echo "as stated"
