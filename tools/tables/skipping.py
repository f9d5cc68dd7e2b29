"""What zero skipping saves over the test images, for docs/timing.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.cost.distribution import Distribution, costs, distribution
from hwsim.engine.cycles import counted, timing_of
from hwsim.engine.module import Engine
from hwsim.files import markdown
from hwsim.networks.subject import open_subject

FILE = Path(__file__).parents[2] / "docs" / "measured" / "skipping.json"
#: Networks and the array that they run on.
NETWORKS = (
    "mnist-cnn-h16-banked",
    "mnist-cnn",
    "mnist-cnn-h64",
    "lenet5",
    "c0",
    "cifar-dnn1",
    "resnet20",
)
CONFIG, BATCH = "default", 500
HEAD = [
    "network", "cycles without", "with: mean", "p5 … p95", "gain", "fc: columns", "fc: gain",
    "fc: of bound", "conv: columns", "conv: gain", "conv: of bound", "energy, µJ: stored index",
    "gain", "hashed index", "gain",
]  # fmt: skip


def _over_all(name: str) -> tuple[int, dict[str, Distribution]]:
    """How many test images, and what they take with each index mode."""
    subject = open_subject(name, CONFIG)
    images = subject.network.inputs(subject.test)
    found = {}
    for mode in ("sram", "hash"):
        program = subject.network.program.skipping()
        program = program.replace(config=program.config.replace(index_mode=mode))
        engine = Engine(program)
        parts = [
            counted(engine.datapath, engine.grid(batch), costs) for batch in images.split(BATCH)
        ]
        whole = {key: np.concatenate([one[key] for one in parts]) for key in parts[0]}
        found[mode] = distribution(program, timing_of(program), whole)
    return len(images), found


def measure() -> None:
    """Run all test images and write docs/measured/skipping.json."""
    found: dict[str, Any] = {
        "command": "python -m tools.tables --measure skipping", "config": CONFIG, "networks": {}
    }  # fmt: skip
    for name in NETWORKS:
        images, modes = _over_all(name)
        found["networks"][name] = {
            "images": images,
            **{mode: one.to_dict() for mode, one in modes.items()},
        }
        print(name)
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read() -> dict[str, Any]:
    """What was measured, by network and index mode."""
    networks: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["networks"]
    return networks


def _columns(one: dict[str, Any], kind: str) -> str:
    """Share of the columns of the layers that skip, by the cycles that they take without."""
    layers = [layer for layer in one["layers"] if layer["kind"] == kind]
    if not layers:
        return "none skips"
    plain = sum(layer["plain"] for layer in layers)
    return f"{sum(layer['columns'] * layer['plain'] for layer in layers) / plain:.1%}"


def table() -> str:
    """Cycles and energy with and without, a network a line."""
    rows = []
    for name, modes in read().items():
        stored, hashed = modes["sram"], modes["hash"]
        cycles = stored["cycles"]
        row = [
            name, f"{stored['plain_cycles']:,}", f"{cycles['mean']:,.0f}",
            f"{cycles['p5']:,.0f} … {cycles['p95']:,.0f}", f"{stored['speed_up']:.2f}",
            _columns(stored, "fc"), f"{stored['fc_speed_up']:.2f}",
            f"{stored['bound_share']:.1%}",
            _columns(stored, "conv"), f"{stored['conv_speed_up']:.2f}",
            f"{stored['conv_bound_share']:.1%}",
        ]  # fmt: skip
        for one in (stored, hashed):
            mean, plain = one["energy_nj"]["mean"], one["plain_energy_nj"]
            row += [f"{plain / 1000:.1f} → {mean / 1000:.1f}", f"{one['energy_gain']:.2f}"]
        rows.append(row)
    return markdown.table(HEAD, rows)
