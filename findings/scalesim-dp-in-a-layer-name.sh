#!/usr/bin/env bash
# SCALE-Sim: two capital letters in a layer's name decide what is simulated.
#
# Versions: scalesim 3.0.0. Its reader of topologies needs no other package.
# Behaviour: a convolution whose name contains "DP" anywhere is taken apart into one layer for each
# input channel, each with all filters: 1 layer of 8 channels becomes 8 layers of 1 channel. The
# sums of products stay those of the whole convolution, so nothing is depthwise about them unless
# the number of filters was given as 1; "dp" in small letters and "depthwise" do nothing.
# One would expect: names are labels, and depthwise means a filter for each channel.
# What to do: keep "DP" out of names that are not meant so (ADP_conv, MLP_NDP1), and give depthwise
# layers 1 filter and a name with "DP".
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
    " Strides,\n"
)
for name, filters in (("conv1", 8), ("ADP_conv1", 8), ("conv1_dp", 8), ("DP1", 1)):
    Path("net.csv").write_text(f"{HEAD}{name}, 16, 16, 3, 3, 8, {filters}, 1,\n")
    found = topologies()
    found.load_arrays("net.csv")
    found.topo_calc_hyperparams("net.csv")
    count = found.get_num_layers()
    products = sum(found.get_layer_mac_ops(number) for number in range(count))
    print(f"{name} with {filters} filters: layers {count}, products {products}")
PY

diff - "$folder/seen" <<'SEEN'
conv1 with 8 filters: layers 1, products 112896
ADP_conv1 with 8 filters: layers 8, products 112896
conv1_dp with 8 filters: layers 1, products 112896
DP1 with 1 filters: layers 8, products 14112
SEEN
echo "as stated"
