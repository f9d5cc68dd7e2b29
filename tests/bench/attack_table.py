"""Every attack, float against fixed point: ``python -m tests.bench.attack_table``.

One row for each attack, one column for each network and width, as docs/attacks.md shows it. Every
cell is kept in runs/attack_table.json as soon as it is known, so a run that is stopped goes on
where it was. A cell says in how many percent of the images that the judge classified correctly the
attack succeeds, float / engine, each crafted on its judge; behind it the same with the margin loss
where the loss is a cross-entropy, or the mean distance of the successes where that is the point.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network
from hwsim.report import budgets
from hwsim.report.pages import write_json
from hwsim.runs.attack_catalog import ENTRIES, norm_of
from hwsim.runs.count import count
from hwsim.runs.experiment import Experiment
from hwsim.runs.result import build
from hwsim.runs.settings import Request

NETWORKS = ("mnist-cnn", "mnist-cnn-h16", "mnist-cnn-h64")
WIDTHS = (8, 4)
#: Attack -> budget and images; fewer images where one costs much.
BUDGETS = {
    "hfgsm": ("0.2", 1000), "bim": ("0.2", 200), "pgd": ("0.2", 100), "mifgsm": ("0.2", 200),
    "sfgrm": ("0.2", 30), "jsma": ("14.5%", 100), "hjsma": ("14.5%", 100), "cw-l2": ("inf", 30),
    "cw-l0": ("inf", 10), "cw-linf": ("inf", 10), "square": ("0.2", 50), "decision": ("2", 20),
    "noise": ("0.3", 100),
}  # fmt: skip
#: What an attack's mean distance over its successes is called.
SHOWN = {"cw-l2": "l2", "cw-l0": "l0", "cw-linf": "linf", "decision": "l2", "jsma": "l0",
         "hjsma": "l0"}  # fmt: skip
PATH = Path("runs/attack_table.json")


def measure(attack: str, name: str, bits: int, samples: int) -> dict[str, Any]:
    """The cell: success and what stands behind it, for float and for the engine."""
    entry, network = ENTRIES[attack], open_network(name, bits=bits)
    options = {option.name: option.default for option in entry.options}
    spent = budgets.parse(BUDGETS[attack][0], norm_of(entry, options))
    given = {key: value for key, value in options.items() if value is not None}
    settings = Request(
        attack=attack, model=name, samples=samples, options=given,
        epsilons=budgets.resolve(spent, network.program.input_shape),
    )  # fmt: skip
    partial = PATH.with_name(f"attack-table-{attack}-{name}-{bits}.json")
    test = load_dataset(network.dataset, "test")
    with closing(Experiment(settings, network, test)) as experiment:
        result = build(experiment, count(experiment, partial), 0.0)
    partial.unlink(missing_ok=True)
    margin = result["adaptive"]
    return {
        "success": _own(result["success"]),
        "margin": None if margin is None else _own(margin["success"]),
        "distortion": [result["distortion"][model][0] for model in ("float", "engine")],
        "denominator": result["denominator"],
        "zero_gradient": result["zero_gradient"],
        "seconds": result["seconds"],
    }


def _own(rates: Mapping[str, Any]) -> list[float]:
    """Crafted on its judge: float, then the engine."""
    return [rates[pair][0] for pair in ("float_float", "engine_engine")]


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attack", nargs="+", default=tuple(BUDGETS), choices=tuple(BUDGETS))
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--bits", nargs="+", type=int, default=WIDTHS)
    chosen = parser.parse_args()
    known: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    columns = [(name, bits) for name in chosen.network for bits in chosen.bits]
    head = [f"{name}, {bits} bits" for name, bits in columns]
    rows = [
        "| attack | budget | images | " + " | ".join(head) + " |",
        "|---" * (3 + len(head)) + "|",
    ]
    for attack in chosen.attack:
        budget, samples = BUDGETS[attack]
        cells = []
        for name, bits in columns:
            key = f"{attack}, {budget}, {samples}, {name}, {bits}"
            if key not in known:
                known[key] = measure(attack, name, bits, samples)
                write_json(known, PATH)
                print(key, known[key], flush=True)
            cells.append(_said(attack, known[key]))
        rows.append(f"| `{attack}` | {budget} | {samples} | " + " | ".join(cells) + " |")
    print("\n".join(rows))


def _said(attack: str, cell: Mapping[str, Any]) -> str:
    text = " / ".join(f"{100 * rate:.1f}" for rate in cell["success"])
    if cell["margin"] is not None:
        return text + " (" + " / ".join(f"{100 * rate:.1f}" for rate in cell["margin"]) + ")"
    if (norm := SHOWN.get(attack)) is None:
        return text
    means = ("–" if one is None else f"{one[norm]:.3g}" for one in cell["distortion"])
    return text + " (" + " / ".join(means) + ")"


if __name__ == "__main__":
    main()
