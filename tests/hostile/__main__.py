"""``python -m tests.hostile [--minutes M] [--seed S] [--only NAME] [--docs]``: ``make hostile``."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Before anything reads it, and for every process from here on: they run one beside another.
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
    from tests.hostile.command import main

    sys.exit(main(sys.argv[1:]))
