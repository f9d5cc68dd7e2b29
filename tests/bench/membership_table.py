"""Prints the table of docs/membership.md of results that `hwsim attack mia` left.

hwsim attack mia --model c0 --samples 2000 --epochs 10 \\
    --view float,engine,probabilities,class --json 8.json
hwsim attack mia --model c0 --samples 2000 --epochs 10 --view engine --bits 4 --json 4.json
python -m tests.bench.membership_table 8.json 4.json | python -m tools.tables --take membership-c0
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hwsim.files import markdown
from hwsim.report.membership_report import number
from hwsim.runs.membership_catalog import MEMBERSHIP


def main() -> None:
    """AUC with its interval: a line for each attack, a column for each view of each result."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.bench.membership_table RESULT.json …")
    cells: dict[tuple[str, str], str] = {}
    for path in sys.argv[1:]:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
        for row in result["rows"]:
            view = row["view"]
            column = view if view == "float" else f"{view}, {result['bits']} bits"
            cells[row["attack"], column] = number(row["auc"], row["auc_interval"])
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = [[name, *(cells.get((name, c), "") for c in columns)] for name in MEMBERSHIP]
    print(markdown.table(["attack", *columns], rows))


if __name__ == "__main__":
    main()
