#!/usr/bin/env bash
# cocotb: a LogicArray equals two integers at once.
#
# Versions: cocotb 2.1.0; no simulator is needed.
# Behaviour: a LogicArray of 8 bits that holds 253 is == 253 and == -3 alike, since a comparison with
# an integer takes the bits as unsigned or as two's complement, whichever fits. int() takes them as
# unsigned, for what comes from a signed port too.
# What to do: compare to_signed() or to_unsigned(), never the array, where the sign is what is tested.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet cocotb==2.1.0

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
from cocotb.types import LogicArray

value = LogicArray(253, 8)
print("== 253:", value == 253)
print("== -3:", value == -3)
print("int:", int(value))
print("signed:", value.to_signed(), "unsigned:", value.to_unsigned())
PY

diff - "$folder/seen" <<'SEEN'
== 253: True
== -3: True
int: 253
signed: -3 unsigned: 253
SEEN
echo "as stated"
