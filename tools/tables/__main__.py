"""Writes every generated table of docs/*.md again.

    python -m tools.tables                 from the program, the cards and docs/measured
    python -m tools.tables --measure rtl   first count cycles in the Verilog again (minutes)
    python -m tools.tables --measure skipping      or those of all test images where zeros are
                                          skipped (minutes)
    python -m tests.bench.attack_table | python -m tools.tables --take attack-table
                                          first keep the table that a measurement printed

tests/test_docs_numbers.py compares the pages with what this would write.
"""

from __future__ import annotations

import argparse
import sys

from hwsim.errors import InputError
from hwsim.files.markdown import put
from tools.tables import blocks, cycles, measured, skipping


def main() -> None:
    """Measure if asked to, then write every table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--measure", choices=["rtl", "skipping"], help="measure this first")
    parser.add_argument(
        "--take", choices=list(blocks.PRINTED), help="keep the Markdown table on standard input"
    )
    chosen = parser.parse_args()
    if chosen.measure == "rtl":
        cycles.measure()
    if chosen.measure == "skipping":
        skipping.measure()
    if chosen.take:
        try:
            measured.take(chosen.take, sys.stdin.read())
        except InputError as error:
            parser.error(str(error))
    for (page, name), text in blocks.BLOCKS.items():
        put(blocks.ROOT / page, name, text())
        print(f"{page}: {name}")


if __name__ == "__main__":
    main()
