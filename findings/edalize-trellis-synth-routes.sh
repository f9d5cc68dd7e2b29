#!/usr/bin/env bash
# Edalize: the flow for ECP5 places and routes although it was told to synthesize only.
#
# Versions: edalize 0.6.8 (what FuseSoC 2.4 runs).
# Behaviour: the flow `trellis` has the option `pnr`, whose value `none` is to "only perform
# synthesis". It makes `synth` the goal, and the Makefile's `synth` depends on the file that
# nextpnr-ecp5 writes: so place and route runs, and has to be installed, either way. The sibling
# `icestorm`, for iCE40, stops at Yosys' file.
# One would expect: no nextpnr with `pnr: none`.
# What to do: for resources alone use the flow `generic` with Yosys as its tool, or call make with
# the name of the JSON file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet edalize==0.6.8

cd "$folder"
"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import re
from pathlib import Path

from edalize.flows.icestorm import Icestorm
from edalize.flows.trellis import Trellis

Path("top.v").write_text("module top (input wire a, output wire b); assign b = a; endmodule\n")
for flow in (Icestorm, Trellis):
    about = {
        "name": "top",
        "toplevel": "top",
        "files": [{"name": "top.v", "file_type": "verilogSource"}],
        "flow_options": {"pnr": "none"},
        "tool_options": {},
    }
    flow(edam=about, work_root=".").configure()
    rules = Path("Makefile").read_text()
    (needed,) = re.findall(r"^synth: (.*)$", rules, re.MULTILINE)
    maker = re.search(rf"^{re.escape(needed)}:.*\n\t\S+ (\S+)", rules, re.MULTILINE)
    print(f"{flow.__name__}: synth needs {needed}, made by {maker.group(1)}")
PY

diff - "$folder/seen" <<'SEEN'
Icestorm: synth needs top.json, made by yosys
Trellis: synth needs top.config, made by nextpnr-ecp5
SEEN
echo "as stated"
