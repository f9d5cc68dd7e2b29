"""``python -m tests.fuzz [--minutes M] [--seed S] [--only NAME]``, which ``make fuzz`` runs."""

from __future__ import annotations

import os
import sys

from tests import examples
from tests.fuzz.command import main

if __name__ == "__main__":
    # Before the tests are imported: they read both, and a round is these examples and no others.
    os.environ["HWSIM_EXAMPLES"] = "50"
    examples.use("new")
    sys.exit(main(sys.argv[1:]))
