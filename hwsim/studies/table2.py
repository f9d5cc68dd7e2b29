"""Table II of the slides: C0, C1 (pruned), C2 (and logits augmentation), CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.studies.findings import Findings
from hwsim.studies.greybox import Table
from hwsim.studies.levels import Published
from hwsim.studies.plan import Answers, Plan, Point

NETWORKS = ("c0", "c0-p7")

PUBLISHED: Published = {
    "C0": {
        "FGSM": [(84.6, 5.43), (86.3, 8.05), (87.1, 13.0)],
        "FGSM targeted": [(17.71, 5.43), (14.78, 8.05), (11.49, 13.0)],
        "BIM targeted": [(63.59, 4.48), (65.83, 6.66), (65.73, 10.8)],
        "C&W": [(99.54, 2.06)],
    },
    "C1": {
        "FGSM": [(70.3, 5.43), (75.3, 8.05), (80.9, 13.0)],
        "FGSM targeted": [(11.2, 5.42), (10.5, 8.05), (10.1, 13.03)],
        "BIM targeted": [(25.3, 4.47), (23.8, 6.64), (19.3, 10.8)],
        "C&W": [(85.0, 3.55)],
    },
    "C2": {
        "FGSM": [(24.6, 1.42), (24.5, 2.11), (25.0, 3.41)],
        "FGSM targeted": [(11.12, 5.33), (11.25, 7.91), (11.16, 12.8)],
        "BIM targeted": [(43.41, 4.43), (44.9, 6.5), (41.2, 10.7)],
        "C&W": [(83.9, 4.31)],
    },
}


def table(plan: Plan, present: Sequence[str]) -> Table | None:
    """None without the base network."""
    base, pruned = NETWORKS
    if base not in present:
        return None
    found = pruned if pruned in present else None
    return Table(plan, "C", base, found, PUBLISHED, (1000, 40), (100, 4))


def grid(plan: Plan, present: Sequence[str]) -> list[Point]:
    """Every level, attack and machine."""
    made = table(plan, present)
    return made.points() if made else []


def find(plan: Plan, present: Sequence[str], answers: Answers) -> Findings:
    """The table."""
    made = table(plan, present)
    assert made is not None
    return made.find(answers)
