"""Prints the table of docs/attacks.md, Latency, of a result that `hwsim attack latency` left.

hwsim attack latency --skip --samples 200 --json latency.json
python -m tests.bench.latency_table latency.json | python -m tools.tables --take latency-mnist
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hwsim.files import markdown
from hwsim.report.latency_report import HEADS, rows


def main() -> None:
    """The Markdown table of the result named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.bench.latency_table RESULT.json")
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(markdown.table(list(HEADS), rows(result)))


if __name__ == "__main__":
    main()
