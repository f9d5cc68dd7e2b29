"""The audit on undefended and on inhibited networks: ``python -m tests.bench.audit_table``.

One line for each network, as docs/audit.md shows it. Finished audits are kept under
runs/audit-table, so that an interrupted table goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from hwsim.audit.attempts import Effort
from hwsim.audit.suite import Audit, AuditSettings
from hwsim.defenses.inhibition import inhibit
from hwsim.engine.module import Engine
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network
from hwsim.report.pages import write_json

#: network:bits:τ, 0 for an undefended one.
NETWORKS = [
    *(f"{name}:{bits}:0" for name in ("mnist-cnn", "mnist-cnn-h16", "mnist-cnn-h64")
      for bits in (8, 4)),
    *(f"{name}:8:{tau}" for name in ("mnist-cnn", "mnist-cnn-h64") for tau in (0.1, 0.5)),
]  # fmt: skip


def main() -> None:
    """Audits what has not been audited yet, and prints the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--eps", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK:BITS:TAU")
    chosen = parser.parse_args()
    effort = Effort(tuple(chosen.eps), chosen.steps, chosen.draws, chosen.queries)
    folder = Path("runs/audit-table")
    for spec in chosen.networks:
        name, bits, tau = spec.split(":")
        file = folder / f"{name}-{bits}-{tau}-{chosen.images}-{chosen.steps}.json"
        if not file.exists():
            write_json(_audit(name, int(bits), float(tau), chosen.images, effort, file), file)
        print(line(spec, json.loads(file.read_text())), flush=True)


def _audit(
    name: str, bits: int, tau: float, images: int, effort: Effort, file: Path
) -> dict[str, Any]:
    network = open_network(name, bits=bits)
    sources: dict[str, nn.Module] = {"float": network.module}
    if tau:
        sources["undefended"] = Engine(network.program)
        network = replace(network, program=inhibit(network.program, tau, on_overflow="rescale"))
    settings = AuditSettings(name, images, effort, "python -m tests.bench.audit_table")
    audit = Audit(settings, network, load_dataset(network.dataset, "test"), sources)
    partial = file.with_suffix(".partial")
    result = audit.result(audit.run(partial))
    partial.unlink(missing_ok=True)
    return result


def line(spec: str, result: dict[str, Any]) -> str:
    """Flags and, per ε, naive → worst case in percent."""
    rates = ", ".join(
        f"{row['epsilon']:g}: {100 * row['naive']:.0f} → {100 * row['worst']:.0f}"
        for row in result["bottom_line"]
    )
    flags = ", ".join(result["raised"]) or "none"
    return f"| {spec} | {result['correct']} | {flags} | {rates} | {result['seconds']:.0f} s |"


if __name__ == "__main__":
    main()
