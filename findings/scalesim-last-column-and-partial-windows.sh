#!/usr/bin/env bash
# SCALE-Sim: without a comma at the end of a row the last column is lost; maps are rounded up.
#
# Versions: scalesim 3.0.0. Its reader of topologies needs no other package.
# Behaviour: the text behind the last comma of a row is dropped. A sparsity of 2:4 as the last
# column of an ordinary CSV row is so read as 1:1, without a word (a stride there ends in an
# IndexError); with a comma behind it, it is 2:4. And where a stride does not divide, the output
# map is rounded up: 16 pixels, a kernel of 3 and a stride of 2 give 8, where PyTorch, ONNX and
# Keras give 7, so a map of 7 x 7 is simulated as 8 x 8, 31% more products.
# One would expect: CSV as everybody writes it, and windows that lie inside the map.
# What to do: end each row in a comma, look at what was read; cut the rows and columns of the input
# that no window reads (15 for 16 above).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --no-deps scalesim==3.0.0

cd "$folder"
"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
from pathlib import Path

from scalesim.topology_utils import topologies

HEAD = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
    " Strides, Sparsity,\n"
)
for row in (
    "conv1, 16, 16, 3, 3, 8, 32, 2, 2:4",
    "conv1, 16, 16, 3, 3, 8, 32, 2, 2:4,",
    "conv1, 15, 15, 3, 3, 8, 32, 2, 2:4,",
):
    Path("net.csv").write_text(f"{HEAD}{row}\n")
    found = topologies()
    found.load_arrays("net.csv")
    found.topo_calc_hyperparams("net.csv")
    kept, of = found.topo_arrays[0][-2:]
    print(f"{row}: sparsity {kept}:{of}, output {found.get_layer_ofmap_dims(0)}")
PY

diff - "$folder/seen" <<'SEEN'
conv1, 16, 16, 3, 3, 8, 32, 2, 2:4: sparsity 1:1, output [8, 8]
conv1, 16, 16, 3, 3, 8, 32, 2, 2:4,: sparsity 2:4, output [8, 8]
conv1, 15, 15, 3, 3, 8, 32, 2, 2:4,: sparsity 2:4, output [7, 7]
SEEN
echo "as stated"
