#!/usr/bin/env bash
# numba: the bits of a float32 scalar may be read or not by how it was written down, not by its type.
#
# Versions: numba 0.68.1 with numpy 2.2.6.
# Behaviour: `np.float32(x).view(np.uint32)` compiles. The same .view on a float32 argument, on an
# element of a float32 array, or on a product of float32 scalars raises a TypingError, whatever type
# inference found: numba asks whether the name was assigned from a call of np.<dtype>. Behind any
# other call of numpy, np.sqrt(x) say, a bare TypeError of numpy comes out, about a ufunc that is no data
# type, without a line of the program.
# One would expect: as in NumPy, that a float32 scalar is one wherever it comes from.
# What to do: wrap it again, np.float32(x).view(np.uint32); that costs nothing, since it is one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet numba==0.68.1 numpy==2.2.6

cat > "$folder/bits.py" <<'PY'
import numpy as np
from numba import njit


def wrapped(x):
    return np.float32(x).view(np.uint32)


def argument(x):
    return x.view(np.uint32)


def product(x):
    y = np.float32(x) * np.float32(2)
    return y.view(np.uint32)


def product_wrapped(x):
    y = np.float32(np.float32(x) * np.float32(2))
    return y.view(np.uint32)


def root(x):
    return np.sqrt(x).view(np.uint32)


for function in (wrapped, argument, product, product_wrapped, root):
    plain = function(np.float32(1.5))
    try:
        found = f"0x{int(njit(function)(np.float32(1.5))):08x}"
    except Exception as error:
        text = [line.strip("\x1b[1m0") for line in str(error).splitlines() if line]
        said = next(line for line in text if "view" in line or "interpret" in line)
        found = f"{type(error).__name__}: {said}"
    print(f"{function.__name__}: NumPy 0x{int(plain):08x}; numba {found}")
PY
NUMBA_DISABLE_COLOR=1 NO_COLOR=1 "$folder/venv/bin/python" "$folder/bits.py" > "$folder/seen"

diff - "$folder/seen" <<'SEEN'
wrapped: NumPy 0x3fc00000; numba 0x3fc00000
argument: NumPy 0x3fc00000; numba TypingError: 'view' can only be called on NumPy dtypes, try wrapping the variable 'x' with 'np.<dtype>()'
product: NumPy 0x40400000; numba TypingError: 'view' can only be called on NumPy dtypes, try wrapping the variable 'y' with 'np.<dtype>()'
product_wrapped: NumPy 0x40400000; numba 0x40400000
root: NumPy 0x3f9cc471; numba TypeError: Cannot interpret '<ufunc 'sqrt'>' as a data type
SEEN
echo "as stated"
