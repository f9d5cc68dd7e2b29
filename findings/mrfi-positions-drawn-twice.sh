#!/usr/bin/env bash
# MRFI: n random positions are not n positions, and a rate of exactly 0.1 is no rate.
#
# Versions: mrfi 2.1.0, torch 2.13.0 (a large download). Its selectors need neither torchvision nor
# a network, so it is installed without dependencies.
# Behaviour: RandomPositionByNumber and RandomPositionByRate draw with replacement. Of 1,000 faults
# in a tensor of 1,000 values about 630 values are hit, and what is drawn twice is changed once: a
# campaign over small tensors injects fewer faults than it reports. RandomPositionByRate_classic
# asks each position on its own, but is called deprecated. A rate of 0.1 raises ValueError, 0.09
# and 0.11 do not (the latter with a warning of inaccuracy).
# One would expect: n distinct positions, and every rate between 0 and 1.
# What to do: count the distinct positions, or draw them yourself and give them to FixPositions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 scipy==1.15.3 pyyaml==6.0.3
"$folder/venv/bin/python" -m pip install --quiet --no-deps mrfi==2.1.0

"$folder/venv/bin/python" - > "$folder/seen" 2> /dev/null <<'PY'
import torch
from mrfi import selector

torch.manual_seed(0)
shape = torch.Size([10, 100])
found = [len(selector.RandomPositionByNumber(shape, n=1000).unique()) for _ in range(20)]
print("of 1000 positions, distinct:", "600 to 660" if 600 < min(found) < max(found) < 660 else found)
for rate in (0.09, 0.1, 0.11):
    try:
        print(rate, "positions" if len(selector.RandomPositionByRate(shape, rate)) else "none")
    except ValueError as error:
        print(rate, error)
PY

diff - "$folder/seen" <<'SEEN'
of 1000 positions, distinct: 600 to 660
0.09 positions
0.1 Invalid error rate: 0.100000
0.11 positions
SEEN
echo "as stated"
