"""Writes every generated table of README.md and docs/*.md again.

    python -m docs.tables                 from the program, the cards and docs/measured
    python -m docs.tables --measure rtl   first count cycles in the Verilog again (minutes)

tests/test_docs_numbers.py compares the pages with what this would write.
"""

from __future__ import annotations

import argparse

from docs.tables import blocks, cycles
from hwsim.markdown import put


def main() -> None:
    """Measure if asked to, then write every table."""
    parser = argparse.ArgumentParser(prog="python -m docs.tables", description=__doc__)
    parser.add_argument("--measure", choices=["rtl"], help="measure this first")
    if parser.parse_args().measure == "rtl":
        cycles.measure()
    for (page, name), text in blocks.BLOCKS.items():
        put(blocks.ROOT / page, name, text())
        print(f"{page}: {name}")


if __name__ == "__main__":
    main()
