#!/usr/bin/env bash
# bincopy: a Verilog memory file that starts without an address is read as nothing, in silence.
#
# Versions: bincopy 20.1.1.
# Behaviour: $readmemh starts at address 0 where a file names none. bincopy's add_verilog_vmem skips what
# stands before the first "@" and returns an empty file. With "@0" in front the words are read, each
# as its bytes in the order of the digits, highest first (32'h11223344 is 11 22 33 44 in Intel HEX,
# which a little-endian processor would read back as 44332211). Words of an odd number of digits, as
# memories of 20 or 28 bits have, raise "Invalid word length".
# One would expect: the rules of IEEE 1364's $readmemh.
# What to do: put "@0" in front and pad words to whole bytes; check the length of what was read, and
# swap the bytes of a word where the target is little-endian.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet bincopy==20.1.1

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import bincopy

words = "11223344\n55667788\n"
for name, text in {
    "no address": words,
    "@0": f"@0\n{words}",
    "a word, then @1": "11223344\n@1\n55667788\n",
    "7 digits": "@0\n1122334\n",
}.items():
    file = bincopy.BinFile()
    try:
        file.add_verilog_vmem(text)
    except bincopy.Error as error:
        print(f"{name}: {error}")
        continue
    found = [f"{part.address}: {bytes(part.data).hex()}" for part in file.segments]
    print(f"{name}: {len(file)} bytes {found}")
    if name == "@0":
        print("Intel HEX:", file.as_ihex().split()[0])
PY

diff - "$folder/seen" <<'SEEN'
no address: 0 bytes []
@0: 8 bytes ['0: 1122334455667788']
Intel HEX: :08000000112233445566778894
a word, then @1: 4 bytes ['4: 55667788']
7 digits: Invalid word length.
SEEN
echo "as stated"
