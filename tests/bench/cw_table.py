"""Carlini and Wagner, float against fixed point: the tables of docs/attacks.md.

    python -m tests.bench.cw_table [--attack cw-l2] [--images 100] [--network NAME …]

Every cell is kept in runs/cw_table.json as soon as it is known, so a run that is stopped goes on
where it was. A cell is crafted on one model and judged by that model or the other, on the grid of
the engine's pixels in both cases.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.core.minimizing import MinimizingAttack
from hwsim.attacks.core.result import AttackResult, distances
from hwsim.attacks.cw_l0 import CWL0
from hwsim.attacks.cw_l2 import CWL2
from hwsim.attacks.cw_linf import CWLinf
from hwsim.engine.module import Engine
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels
from hwsim.report.pages import write_json

NETWORKS = ("mnist-cnn", "mnist-cnn-h16", "mnist-cnn-h64")
WIDTHS = (8, 4)
GOALS = ("untargeted", "random target")
#: Fewer searches than the default: c = 0.1 is where the first of them begin to matter.
ATTACKS: dict[str, Callable[[Grid], MinimizingAttack]] = {
    "cw-l2": lambda grid: CWL2(
        space=grid, binary_search_steps=6, steps=60, step_size=0.1, initial_const=0.1
    ),
    "cw-l0": lambda grid: CWL0(space=grid),
    "cw-linf": lambda grid: CWLinf(space=grid),
}
PATH = Path("runs/cw_table.json")


def goal_of(kind: str, labels: Tensor) -> Goal:
    """Untargeted, or a class drawn from the nine others with seed 0."""
    if kind == "untargeted":
        return Untargeted(labels)
    draw = torch.Generator().manual_seed(0)
    other = torch.randint(1, 10, labels.shape, generator=draw)
    return Targeted((labels + other) % 10, labels)


def cell(attack: MinimizingAttack, result: AttackResult, model: nn.Module, goal: Goal,
         labels: Tensor) -> dict[str, Any]:  # fmt: skip
    """What ``model`` says to the images: successes among those that it classified correctly."""
    correct = judge(model, result.original).argmax(1) == labels
    success = goal.is_adversarial(judge(model, result.adversarial)) & correct
    far = distances(result.adversarial, result.original, attack.norm)
    mean = float(far[success].mean()) if bool(success.any()) else None
    return {"successes": int(success.sum()), "correct": int(correct.sum()), "distance": mean}


def measure(name: str, bits: int, kind: str, attack_name: str, images: int) -> dict[str, Any]:
    """The three cells of one network, width and goal."""
    network = open_network(name, bits=bits)
    test = load_dataset(network.dataset, "test").take(images)
    x, labels = pixels(test), torch.as_tensor(test.labels).long()
    goal, attack = goal_of(kind, labels), ATTACKS[attack_name](Grid.of_bits(bits))
    module = network.module.to(memory_format=torch.channels_last)
    engine = Engine(network.program)
    on_float = attack.minimize(module, x, goal, batch_size=100)
    on_engine = attack.minimize(engine, x, goal, batch_size=100)
    return {
        "float → float": cell(attack, on_float, module, goal, labels),
        "engine → engine": cell(attack, on_engine, engine, goal, labels),
        "float → engine": cell(attack, on_float, engine, goal, labels),
        "passes": [float(r.forward.double().mean()) for r in (on_float, on_engine)],
    }


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attack", choices=ATTACKS, default="cw-l2")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    options = parser.parse_args()
    known: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    ways = ("float → float", "engine → engine", "float → engine")
    rows = ["| network | bits | goal | " + " | ".join(ways) + " |", "|---|---|---|---|---|---|"]
    for name in options.network:
        for bits in WIDTHS:
            for kind in GOALS:
                key = f"{options.attack}, {name}, {bits}, {kind}, {options.images}"
                if key not in known:
                    known[key] = measure(name, bits, kind, options.attack, options.images)
                    write_json(known, PATH)
                    print(key, known[key], flush=True)
                cells = [known[key][way] for way in ways]
                rows.append(f"| {name} | {bits} | {kind} | " + " | ".join(map(_said, cells)) + " |")
    print("\n".join(rows))


def _said(value: dict[str, Any]) -> str:
    far = "–" if value["distance"] is None else f"{value['distance']:.3g}"
    return f"{value['successes']} / {value['correct']}, {far}"


if __name__ == "__main__":
    main()
