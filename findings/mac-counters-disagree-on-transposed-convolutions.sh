#!/usr/bin/env bash
# Counters of multiply-accumulates: a transposed convolution counts four times, ten rows count as one.
#
# Versions: thop 0.1.1.post2209072238, fvcore 0.1.5.post20221221, torchinfo 1.8.0, torchprofile 0.1.0,
# torch 2.13.0 (a large download). The counters are installed without dependencies; an empty module stands
# in for torchvision.
# Behaviour: a ConvTranspose2d multiplies each input value by its kernel once, here 4·16·16·8·2·2 =
# 32,768 products. thop, torchinfo and torchprofile count the kernel for each *output* value, stride² times
# as many: the products with zeros between the pixels that no implementation has to do. fvcore and
# torch's own counter (in FLOPs, two a product) say 32,768. torchinfo counts a Linear once an image
# whatever the number of rows; for a call of torch.nn.functional thop counts nothing, and torchinfo one product
# for each of the module's weights.
# One would expect: five counters that agree on a layer of four numbers, as they do on a Conv2d.
# What to do: name the counter, and reckon one transposed and one row-wise layer by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 setuptools==80.9.0 pyyaml==6.0.3 tqdm==4.70.1
"$folder/venv/bin/python" -m pip install --quiet --no-deps thop==0.1.1.post2209072238 fvcore==0.1.5.post20221221 iopath==0.1.10 yacs==0.1.8 tabulate==0.9.0 portalocker==3.2.0 termcolor==3.1.0 torchinfo==1.8.0 torchprofile==0.1.0

"$folder/venv/bin/python" -W ignore - > "$folder/seen" 2> "$folder/log" <<'PY'
import sys
import types

for name in ("torchvision", "torchvision.ops"):
    sys.modules[name] = types.ModuleType(name)
import torch
from fvcore.nn import FlopCountAnalysis
from thop import profile
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary
from torchprofile import profile_macs


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 4, 3, 3))

    def forward(self, x):
        return nn.functional.conv2d(x, self.weight, padding=1)


layers = {
    "Conv2d, 73728 products": (lambda: nn.Conv2d(4, 8, 3, padding=1, bias=False), (1, 4, 16, 16)),
    "ConvTranspose2d, 32768": (lambda: nn.ConvTranspose2d(4, 8, 2, stride=2, bias=False), (1, 4, 16, 16)),
    "Linear on 10 rows, 1280": (lambda: nn.Linear(16, 8, bias=False), (1, 10, 16)),
    "functional conv2d, 73728": (Functional, (1, 4, 16, 16)),
}
for name, (make, shape) in layers.items():
    x = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter:
        make()(x)
    counts = {
        "torch/2": counter.get_total_flops() // 2,
        "fvcore": FlopCountAnalysis(make(), x).total(),
        "thop": int(profile(make(), (x,), verbose=False)[0]),
        "torchinfo": summary(make(), input_size=shape, verbose=0).total_mult_adds,
        "torchprofile": profile_macs(make(), x),
    }
    print(f"{name}: {', '.join(f'{tool} {count}' for tool, count in counts.items())}")
PY

diff - "$folder/seen" <<'SEEN'
Conv2d, 73728 products: torch/2 73728, fvcore 73728, thop 73728, torchinfo 73728, torchprofile 73728
ConvTranspose2d, 32768: torch/2 32768, fvcore 32768, thop 131072, torchinfo 131072, torchprofile 131072
Linear on 10 rows, 1280: torch/2 1280, fvcore 1280, thop 1280, torchinfo 128, torchprofile 1280
functional conv2d, 73728: torch/2 73728, fvcore 73728, thop 0, torchinfo 288, torchprofile 73728
SEEN
echo "as stated"
