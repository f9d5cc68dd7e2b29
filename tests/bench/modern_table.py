"""The attacks of today against public code, network by network: the table of docs/attacks.md.

    python -m tests.bench.modern_table [--attack NAME …] [--network NAME …]

Every cell is kept in runs/modern_table.json as soon as it is known, so a run that is stopped goes
on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from hwsim.report.pages import write_json
from tests.bench.modern import IMAGES, RACES, Made, run

NETWORKS = ("mnist-cnn", "mnist-cnn-h64", "mlperf-resnet8")
PATH = Path("runs/modern_table.json")


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attack", nargs="+", default=tuple(RACES), choices=tuple(RACES))
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    chosen = parser.parse_args()
    known: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    head = [cell for name in chosen.network for cell in (name, "8 bits")]
    rows = ["| attack | steps | " + " | ".join(head) + " |", "|---" * (2 + len(head)) + "|"]
    for key in chosen.attack:
        cells = []
        for name in chosen.network:
            place = f"{key}, {RACES[key].steps} steps, {IMAGES} images, {name}"
            if place not in known:
                known[place] = {who: _kept(made) for who, made in run(key, name).items()}
                write_json(known, PATH)
                print(place, known[place], flush=True)
            for suffix in ("", "8"):
                pair = [known[place][who + suffix] for who in ("ours", "theirs")]
                cells.append(_said(pair, RACES[key].budget))
        rows.append(f"| {key} | {RACES[key].steps} | " + " | ".join(cells) + " |")
    print("\n".join(rows))


def _kept(made: Made) -> dict[str, float | None]:
    median = made.median if math.isfinite(made.median) else None
    return {"success": made.rate, "median": median, "seconds": made.seconds}


def _said(pair: list[dict[str, Any]], budget: bool) -> str:
    """Ours / theirs: the median distance, and the success in brackets; of a budget that alone."""
    rates = " / ".join(f"{100 * one['success']:.0f}" for one in pair)
    if budget:
        return rates
    medians = " / ".join("∞" if one["median"] is None else f"{one['median']:.3g}" for one in pair)
    return f"{medians} ({rates})"


if __name__ == "__main__":
    main()
