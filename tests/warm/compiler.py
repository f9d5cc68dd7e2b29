"""A ``c++`` that compiles each file of Verilator's runtime once for all simulations of a test run.

The runtime is half the cost of a small simulation, and the same for all of them: our own macros,
HNE_…, are for our driver. Everything else is compiled as ever. Run by ``python -IS`` from a folder
with ``real``, a link to the compiler, and ``kept``, where all workers find the objects.
"""

import hashlib
import os
import shutil
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def kept(arguments: list[str]) -> "str | None":
    """Where the object of this command is kept; None if it is none of Verilator's runtime."""
    sources = [one for one in arguments if one.endswith((".cpp", ".c", ".cc"))]
    if "-c" not in arguments or "-o" not in arguments or len(sources) != 1:
        return None
    folder, name = os.path.split(sources[0])
    if not os.path.isabs(folder) or not name.startswith("verilated"):
        return None
    out = arguments.index("-o")
    telling = [*arguments[:out], *arguments[out + 2 :]]
    telling = [one for one in telling if not one.startswith("-DHNE_")]
    return os.path.join(FOLDER, "kept", hashlib.sha256(repr(telling).encode()).hexdigest())


def main() -> None:
    """Be the compiler, or do what it did."""
    real, arguments = os.readlink(os.path.join(FOLDER, "real")), sys.argv[1:]
    place = kept(arguments)
    if place is None:
        os.execv(real, [real, *arguments])
    out = arguments[arguments.index("-o") + 1]
    if not os.path.exists(place):
        code = os.spawnv(os.P_WAIT, real, [real, *arguments])
        if code:
            sys.exit(code if code > 0 else 1)
        part = f"{place}.{os.getpid()}"
        shutil.copy(out, part)
        os.replace(part, place)
    else:
        shutil.copy(place, out)


if __name__ == "__main__":
    main()
