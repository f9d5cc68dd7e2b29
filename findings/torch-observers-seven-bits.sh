#!/usr/bin/env bash
# torch's default x86 quantization uses 7 of the 8 bits of an activation.
#
# Versions: torch 2.13.0 (a large download), numpy 2.2.6.
# Behaviour: the default qconfigs "x86" and "fbgemm" observe activations with reduce_range, so that
# codes are 0 … 127; "onednn" and "qnnpack" use 0 … 255. The reduced range keeps older instructions,
# which add pairs of products in 16 bits, from saturating, and is documented as that. The dtype
# (quint8) does not tell.
# What to do: look at quant_min and quant_max before an accuracy or a gradient is called an 8-bit one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6

"$folder/venv/bin/python" -W ignore - > "$folder/seen" <<'PY'
import torch
from torch.ao.quantization import get_default_qconfig

for backend in ("x86", "fbgemm", "onednn", "qnnpack"):
    observer = get_default_qconfig(backend).activation()
    observer(torch.linspace(0, 1, 1000))
    scale, _ = observer.calculate_qparams()
    codes = torch.quantize_per_tensor(torch.ones(1), float(scale), 0, torch.quint8).int_repr()
    print(backend, observer.dtype, observer.quant_min, observer.quant_max, "1.0 is", int(codes))
PY

diff - "$folder/seen" <<'SEEN'
x86 torch.quint8 0 127 1.0 is 127
fbgemm torch.quint8 0 127 1.0 is 127
onednn torch.quint8 0 255 1.0 is 255
qnnpack torch.quint8 0 255 1.0 is 255
SEEN
echo "as stated"
