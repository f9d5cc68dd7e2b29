"""Which table stands in which page, and what writes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hwsim.networks.zoo_table import page_table
from tests.formal import table as proofs
from tools.tables import (
    batching,
    compiles,
    cycles,
    files,
    formats,
    measured,
    networks,
    optional_units,
    protection,
    rtl,
    skipping,
)

ROOT = Path(__file__).parents[2]

#: Tables that a measurement printed, kept in docs/measured, and their pages.
PRINTED = {
    "attack-table": "docs/attacks.md",
    "modern-table": "docs/attacks.md",
    "jsma-speed": "docs/attacks.md",
    "jsma-options": "docs/attacks.md",
    "jsma-pairs": "docs/attacks.md",
    "hjsma-elements": "docs/attacks.md",
    "transfer": "docs/attacks.md",
    "latency-mnist": "docs/attacks.md",
    "latency-lenet5": "docs/attacks.md",
    "latency-c0": "docs/attacks.md",
    "membership-c0": "docs/membership.md",
    "sponge-training": "docs/attacks.md",
    "audit-one-step": "docs/audit.md",
    "audit-worst-case": "docs/audit.md",
    "detection": "docs/detection.md",
    "leak-cycles": "docs/leak.md",
    "leak": "docs/leak.md",
    "leak-padding": "docs/leak.md",
    "fault-speed": "docs/faults.md",
    "program-faults": "docs/rtl.md",
    "roofline": "docs/results.md",
}

#: (page, name of the place) -> the text that belongs there.
BLOCKS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/images.md", "widths"): formats.widths,
    ("docs/images.md", "fields"): formats.fields,
    ("docs/timing.md", "constants"): formats.constants,
    ("docs/timing.md", "skipping"): skipping.table,
    ("docs/timing.md", "batching"): batching.table,
    ("docs/rtl.md", "cycles-banked"): partial(cycles.table, "mnist-cnn-h16-banked"),
    ("docs/rtl.md", "cycles-xxh32"): partial(cycles.table, "mnist-cnn-h16"),
    ("docs/rtl.md", "configurations"): rtl.configurations,
    ("docs/rtl.md", "rtl-full"): measured.rtl_full,
    ("docs/rtl.md", "ecc-words"): protection.words,
    ("docs/rtl.md", "ecc-costs"): protection.costs,
    ("docs/faults.md", "guard-costs"): protection.guards,
    ("docs/networks.md", "mnist"): partial(page_table, "mnist"),
    ("docs/networks.md", "cifar10"): partial(page_table, "cifar10"),
    ("docs/networks.md", "fashion-mnist"): partial(page_table, "fashion-mnist"),
    ("docs/networks.md", "diamonds"): partial(page_table, "diamonds"),
    ("docs/networks.md", "newsgroups"): partial(page_table, "newsgroups"),
    ("docs/networks.md", "architectures"): networks.architectures,
    ("docs/networks.md", "measured-with"): networks.measured_with,
    ("docs/networks.md", "every-command"): partial(measured.table, "every-command"),
    ("docs/howto/network.md", "taken"): compiles.taken,
    ("docs/howto/network.md", "refused"): compiles.refused,
    ("docs/formal.md", "proofs"): proofs.page_table,
    ("docs/synthesis.md", "optional-units"): optional_units.table,
    ("docs/files.md", "networks"): files.networks,
    ("docs/files.md", "answers"): files.answers,
    ("docs/files.md", "attacks"): files.attacks,
    ("docs/files.md", "resnet"): files.resnet,
    ("docs/results.md", "configurations"): formats.configurations,
    ("docs/results.md", "networks"): networks.mnist,
    ("docs/results.md", "cifar10"): networks.cifar10,
    ("docs/results.md", "hfgsm"): measured.hfgsm,
    ("docs/results.md", "bench"): measured.bench,
    **{(page, name): partial(measured.table, name) for name, page in PRINTED.items()},
}
