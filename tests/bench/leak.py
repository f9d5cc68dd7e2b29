"""The tables of docs/leak.md: ``python -m tests.bench.leak [NETWORK …] [--docs]``.

Runs `hwsim leak NETWORK --samples 10000 --noise 100,1000` on each network and keeps its result
under runs/, as the command does; those that are there already are not run again (``--again``: they
are). ``--docs`` keeps the tables of all results that are there in docs/measured, for tools.tables,
and two pictures in docs/img.
CIFAR-10 must be in HWSIM_DATA.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwsim.files import markdown
from hwsim.report.leak_report import area, bits, pairs, share
from hwsim.report.words import percent
from tools.tables import measured

#: c0 reads CIFAR-10, the others MNIST.
NETWORKS = ("mnist-cnn", "mnist-cnn-h16-banked", "mnist-cnn-h64", "lenet5", "c0")
ARGUMENTS = ("--samples", "10000", "--noise", "100,1000")
RUNS = Path("runs")
#: Whose pictures docs/leak.md shows.
PICTURES = ("mnist-cnn-h64", "c0")
IMAGES = Path("docs/img")

Result = dict[str, Any]


def place(network: str) -> Path:
    """Where the command leaves its result."""
    return RUNS / f"leak-{network}-default-8bit" / "result.json"


def times(results: dict[str, Result]) -> list[list[str]]:
    """How long an image takes."""
    rows = []
    for network, result in results.items():
        cycles = result["cycles"]
        varying = sum(layer["least"] < layer["most"] for layer in result["layers"])
        rows.append([
            network, f"{cycles['unskipped']:,}", f"{cycles['unpadded']:,.0f}",
            f"{cycles['least']:,} … {cycles['most']:,}", f"{cycles['deviation']:,.0f}",
            f"{cycles['worst']:,}", f"{cycles['unskipped'] / cycles['unpadded']:.2f}×",
            f"{varying} of {len(result['layers'])}",
        ])  # fmt: skip
    return rows


def told(results: dict[str, Result]) -> list[list[str]]:
    """What time tells, by observer."""
    rows = []
    for network, result in results.items():
        every = {**result["observers"], "(image)": result["image_alone"]}
        for seen, secrets in every.items():
            found, answer, member = (secrets[name] for name in ("class", "answer", "membership"))
            rows.append([
                network, seen, bits(found), share(found), percent(found["chance"]), pairs(found),
                found["verdict"], share(answer), area(member), member["verdict"],
            ])  # fmt: skip
    return rows


def padded(results: dict[str, Result]) -> list[list[str]]:
    """The leak of the class against the cost of padding, by floor."""
    rows = []
    for network, result in results.items():
        points = {
            (point["pad"], point["scope"], point["observer"]): point for point in result["curve"]
        }
        for pad in dict.fromkeys(pad for pad, _, _ in points):
            both, whole = points[pad, "layers", "layers"], points[pad, "layers", "total"]
            other = points[pad, "total", "total"]
            rows.append([
                network, pad, percent(both["above"]), percent(both["of_unpadded"] - 1),
                percent(both["of_unskipped"]), bits(both), share(both), bits(whole),
                percent(other["of_unpadded"] - 1), bits(other), share(other),
            ])  # fmt: skip
    return rows


#: Name in docs/measured -> head and rows.
TABLES: dict[str, tuple[list[str], Callable[[dict[str, Result]], list[list[str]]]]] = {
    "leak-cycles": (
        ["network", "cycles without skipping", "with, mean", "least … most", "standard deviation",
         "worst case", "faster", "layers that vary"], times,
    ),
    "leak": (
        ["network", "seen", "class, bits", "class guessed", "chance", "|t| > 4.5", "class",
         "answer guessed", "trained on, AUC", "trained on"], told,
    ),
    "leak-padding": (
        ["network", "floor", "above", "more cycles", "of no skipping", "layers seen, bits",
         "guessed", "total seen, bits", "total padded: more cycles", "bits", "guessed"], padded,
    ),
}  # fmt: skip


def main() -> None:
    """Measure, print every table, and keep them if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.leak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=[])
    parser.add_argument("--again", action="store_true", help="run what is there already, too")
    parser.add_argument("--docs", action="store_true", help="keep the tables in docs/measured")
    chosen = parser.parse_args()
    for network in chosen.networks or NETWORKS:
        if chosen.again or not place(network).exists():
            command = [sys.executable, "-m", "hwsim.cli", "leak", network, *ARGUMENTS]
            subprocess.run(command, check=True)
    results = {
        network: json.loads(place(network).read_text(encoding="utf-8"))
        for network in NETWORKS
        if place(network).exists()
    }
    for name, (head, rows) in TABLES.items():
        # A bar would begin another cell.
        text = markdown.table([one.replace("|", "∣") for one in head], rows(results))
        print(f"\n{name}\n\n{text}")
        if chosen.docs:
            measured.take(name, text)
    if chosen.docs:
        for network in PICTURES:
            shutil.copyfile(place(network).with_suffix(".png"), IMAGES / f"leak-{network}.png")


if __name__ == "__main__":
    main()
