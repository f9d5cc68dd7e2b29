#!/usr/bin/env bash
# pyverilog: the second port of a declaration loses `signed`, and [i +: 8] is written as [i:i+8].
#
# Versions: pyverilog 1.3.0, jinja2 3.1.6, ply 3.11.
# Behaviour: in `input signed [7:0] a, b` IEEE 1364 makes both ports signed; the syntax tree has only
# the first one so. The code generator writes an indexed part select `x[i +: 8]` as `x[i:i+8]`, which
# is nine bits wide, and no constant range.
# What to do: declare one port a line where a check reads signedness; do not write Verilog back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pyverilog==1.3.0 jinja2==3.1.6 ply==3.11

cd "$folder"
"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
from pyverilog.ast_code_generator.codegen import ASTCodeGenerator
from pyverilog.vparser.parser import VerilogParser

text = """
module m (input signed [7:0] a, b, input [15:0] x, input [2:0] i, output [7:0] y);
  assign y = x[i +: 8];
endmodule
"""
tree = VerilogParser(outputdir=".", debug=False).parse(text)
(module,) = tree.description.definitions
for port in module.portlist.ports[:2]:
    print(port.first.name, "signed" if port.first.signed else "unsigned")
written = ASTCodeGenerator().visit(tree)
print(next(line.strip() for line in written.splitlines() if "assign" in line))
PY

diff - "$folder/seen" <<'SEEN'
a signed
b unsigned
assign y = x[i:i+8];
SEEN
echo "as stated"
