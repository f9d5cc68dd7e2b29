"""The studies by name. Nothing here imports torch or matplotlib, so that listing them is quick."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from hwsim.errors import InputError

LIU = "Liu et al. 2018"
RAKIN = "Rakin et al. 2019, Table 1"
JSMA = "JSMA slides, defenses"
SLIDES = "pruning and logits augmentation slides"


@dataclass(frozen=True)
class StudyEntry:
    """title: what it shows. source: the figure or table that it computes again.

    home: its module in hwsim.studies.papers, where that is not called as the study is.
    """

    name: str
    title: str
    source: str
    home: str = ""

    @property
    def module(self) -> ModuleType:
        """NETWORKS; grid(plan, present) -> points; find(plan, present, answers) -> findings.

        TRAINS: true where its rows train these networks themselves, and need only data.
        """
        return import_module(f"hwsim.studies.papers.{self.home or self.name}")


STUDIES = {
    entry.name: entry
    for entry in (
        StudyEntry("fig3", "Accuracy by compression rate", f"{LIU}, Fig. 3"),
        StudyEntry("fig4", "Success of HFGSM by compression rate and ε", f"{LIU}, Fig. 4"),
        StudyEntry("fig5", "Success of HJSMA by compression rate and elements", f"{LIU}, Fig. 5"),
        StudyEntry("fig6", "Range of weights by compression rate", f"{LIU}, Fig. 6"),
        StudyEntry("fig7", "Size of gradients by compression rate", f"{LIU}, Fig. 7"),
        StudyEntry("fig8", "Accuracy by τ of gradient inhibition", f"{LIU}, Fig. 8"),
        StudyEntry("fig9", "Size of gradients by τ of gradient inhibition", f"{LIU}, Fig. 9"),
        StudyEntry("fig10a", "Success of HFGSM by τ of gradient inhibition, MNIST",
                   f"{LIU}, Fig. 10a"),
        StudyEntry(
            "fig10b", "Success of FGSM by τ of gradient inhibition, CIFAR-10", f"{LIU}, Fig. 10b"
        ),
        StudyEntry("table1", "Pruning and logits augmentation, MNIST", f"Table I, {SLIDES}"),
        StudyEntry("table2", "Pruning and logits augmentation, CIFAR-10", f"Table II, {SLIDES}"),
        StudyEntry("gan", "Training with a GAN's samples, and JSMA", JSMA),
        StudyEntry("storage", "Weight memory of HashNets, index included", f"{LIU}, section II.B",
              "memory"),
        StudyEntry("mechanism", "Where the paper's number appears, and what it hides",
              f"{LIU}, 87.99% to 4.77%"),
        StudyEntry("seeds", "Success of attacks over training and hash seeds",
              f"{LIU}, Figs. 4 and 10a"),
        StudyEntry("spread", "The other trends over training and hash seeds",
              f"{LIU}, Figs. 3, 5, 6, 7 and 9", "seed_trends"),
        StudyEntry("faults", "Bit flips that break a network, dense and shared", RAKIN),
        StudyEntry("protection", "Bit flips behind what guards a memory: blind and adaptive",
                   "Li et al. 2021 (RADAR)"),
        StudyEntry("skip", "Zero skipping: what it saves, what its time tells, what attacks gain",
                   "SparseLeakyNets, IEEE CAL 2024"),
        StudyEntry("safecompress", "Compression steered by membership attacks: what is it worth?",
                   "SafeCompress, ASE 2022 and TSE 2024"),
    )
}  # fmt: skip


def entry(name: str) -> StudyEntry:
    """Raises InputError for an unknown name."""
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}: choose from all, {', '.join(STUDIES)}")
    return STUDIES[name]
