"""Every command on the networks that are graphs: ``python -m tests.bench.every_command``.

One row for each command, one column for each network, as docs/networks.md shows it. The commands
are started as a user starts them, and every cell is kept in runs/every_command.json as soon as it
is known, so a run that is stopped goes on where it was; those of other weights are measured again.
Few images each: the table says that a command works on a network and what it finds there, not how
robust the network is. ``--docs`` keeps what is complete in docs/measured, for tools.tables.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwsim.models import zoo
from hwsim.report.pages import write_json
from tools.tables import measured

NETWORKS = ("lenet5", "mlperf-resnet8", "resnet20", "resnet20-h16", "cifar-mobilenet")
PATH = Path("runs/every_command.json")
#: Attack -> budget on MNIST, on CIFAR-10, images.
ATTACKS = {
    "fgsm": ("0.2", "8/255", 50), "hfgsm": ("0.2", "8/255", 50), "bim": ("0.2", "8/255", 50),
    "pgd": ("0.2", "8/255", 30), "mifgsm": ("0.2", "8/255", 50), "sfgrm": ("0.2", "8/255", 8),
    "jsma": ("14.5%", "2%", 10), "hjsma": ("14.5%", "2%", 10), "cw-l2": ("inf", "inf", 6),
    "cw-l0": ("inf", "inf", 2), "cw-linf": ("inf", "inf", 2), "square": ("0.2", "8/255", 8),
    "decision": ("2", "1", 4), "noise": ("0.3", "8/255", 30),
}  # fmt: skip
REWRITES = ("inhibition=0.02", "augmentation=0.02", "pruning=2")


class Commands:
    """Starts hwsim in a folder of its own and reads what it leaves there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str) -> str:
        """What the command prints; its error, if it does not end well."""
        command = [sys.executable, "-m", "hwsim.cli", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"hwsim {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout + done.stderr

    def read(self, *words: str) -> dict[str, Any]:
        """The JSON of the command."""
        path = self.folder / "result.json"
        self(*words, "--json", str(path))
        found: dict[str, Any] = json.loads(path.read_text())
        path.unlink()
        return found


def cifar(network: str) -> bool:
    """Whether the network answers CIFAR-10."""
    return network != "lenet5"


def attack(name: str) -> Callable[[Commands, str], str]:
    """Successes, float / engine, each crafted on its judge."""
    mnist, colour, images = ATTACKS[name]

    def measure(hwsim: Commands, network: str) -> str:
        eps = colour if cifar(network) else mnist
        found = hwsim.read(
            "attack", name, "--model", network, "--eps", eps, "--samples", str(images)
        )
        return " / ".join(f"{100 * found['success'][pair][0]:.0f}" for pair in
                          ("float_float", "engine_engine"))  # fmt: skip

    return measure


def audit(hwsim: Commands, network: str) -> str:
    """Flags, and the naive number beside the worst case."""
    eps = "8/255" if cifar(network) else "0.2"
    found = hwsim.read(
        "audit", network, "--images", "12", "--draws", "100", "--steps", "10", "--eps", eps
    )
    last = found["bottom_line"][-1]
    return f"{len(found['raised'])}; {100 * last['naive']:.0f} → {100 * last['worst']:.0f}"


def detect(hwsim: Commands, network: str) -> str:
    """Areas under the curve of each detector against hfgsm, unaware → aware."""
    found = hwsim.read("detect", network, "--attacks", "hfgsm", "--samples", "16")
    seen = found["attacks"][0]["detectors"].values()
    return ", ".join(f"{one['unaware']['auc']:.2f} → {one['aware']['auc']:.2f}" for one in seen)


def transfer(hwsim: Commands, network: str) -> str:
    """MI-FGSM, crafted on the float network → counted on the engine, and back."""
    eps = "8/255" if cifar(network) else "0.2"
    found = hwsim.read(
        "transfer", "--models", network, "--attacks", "mi", "--eps", eps, "--samples", "40"
    )
    (made,), (first, second) = found["success"].values(), found["models"]
    return ", ".join(
        f"{100 * made[source][target][0] / found['correct'][target]:.0f}"
        for source, target in ((first, second), (second, first))
    )


def rewrite(step: str) -> Callable[[Commands, str], str]:
    """Accuracy of the engine, before → after."""

    def measure(hwsim: Commands, network: str) -> str:
        hwsim("compile", network, "-o", "whole.hne", "--force")
        hwsim("rom", "rewrite", "whole.hne", "less.hne", "--apply", step, "--on-overflow",
              "rescale", "--force")  # fmt: skip
        shares = [
            re.search(r"([\d.]+)% in fixed point", hwsim("run", image, "--samples", "500"))
            for image in ("whole.hne", "less.hne")
        ]
        return " → ".join(f"{float(share[1]):.1f}" for share in shares if share)

    return measure


def verilog(hwsim: Commands, network: str) -> str:
    """Images on which Verilog and simulator give the same logits in the same cycles."""
    said = hwsim("run", network, "--backend", "rtl", "--samples", "2")
    equal = re.search(r"equal to the simulator's on (\d+) of (\d+)", said)
    cycles = re.search(r"([\d,]+) cycles an image", said)
    return f"{equal[1]} of {equal[2]}, {cycles[1]} cycles" if equal and cycles else said


ROWS: dict[str, Callable[[Commands, str], str]] = {
    **{f"`attack {name}`, {images} images, ε {mnist}, {colour}": attack(name)
       for name, (mnist, colour, images) in ATTACKS.items()},
    "`audit`: flags; naive → worst case": audit,
    "`detect` hfgsm: AUC by detector, unaware → aware": detect,
    "`transfer` mi: float → engine, engine → float": transfer,
    **{f"`rom rewrite {step}`: accuracy": rewrite(step) for step in REWRITES},
    "`run --backend rtl`: equal images": verilog,
}  # fmt: skip


def _known() -> dict[str, dict[str, Any]]:
    """By network: the digest of its weights, and the cells that were measured with those."""
    known = json.loads(PATH.read_text()) if PATH.exists() else {}
    return {name: one for name, one in known.items() if one["weights"] == zoo.card(name).sha256}


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--docs", action="store_true", help="keep the complete columns")
    chosen = parser.parse_args()
    known = _known()
    with tempfile.TemporaryDirectory() as folder:
        hwsim = Commands(Path(folder))
        for network in chosen.network:
            mine = known.setdefault(network, {"weights": zoo.card(network).sha256, "cells": {}})
            for row, measure in ROWS.items():
                if row not in mine["cells"]:
                    mine["cells"][row] = measure(hwsim, network)
                    write_json(known, PATH)
                    print(f"{network}, {row}: {mine['cells'][row]}", file=sys.stderr, flush=True)
    complete = {
        n: known[n] for n in NETWORKS if n in known and known[n]["cells"].keys() >= set(ROWS)
    }
    if chosen.docs:
        rows = [[row, *(one["cells"][row] for one in complete.values())] for row in ROWS]
        weights = {name: one["weights"] for name, one in complete.items()}
        command = "python -m tests.bench.every_command --docs"
        found = {
            "command": command,
            "weights": weights,
            "head": ["command", *complete],
            "rows": rows,
        }
        write_json(found, measured.FOLDER / "every-command.json")


if __name__ == "__main__":
    main()
