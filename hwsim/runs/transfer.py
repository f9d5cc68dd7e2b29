"""The transfer study: craft on every float network and engine, count on all the others."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwsim.attacks.core.base import Attack
from hwsim.attacks.core.grid import Space
from hwsim.attacks.evaluate.transfer import correct, transfer
from hwsim.attacks.known import TRANSFORMS, make_attack
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.report import budgets
from hwsim.runs.count import fingerprint
from hwsim.runs.unfinished import keep, kept

#: Images between two updates of the progress bar.
BATCH = 128

#: Name here -> attack, and whether transforms may stand behind it.
BASES = {
    "fgsm": ("fgsm", False),
    "pgd": ("pgd", False),
    "mi": ("mifgsm", True),
    "sfgrm": ("sfgrm", True),
}


def attack_named(name: str, space: Space) -> Attack:
    """``fgsm``, ``pgd``, ``mi`` or ``sfgrm``, the last two with any of TRANSFORMS behind them.

    Such as ``sfgrm-ni-tim``. Raises InputError for any other name.
    """
    base, *added = name.split("-")
    known, transformed = BASES.get(base, ("", False))
    unknown = not known or any(a not in TRANSFORMS for a in added)
    if unknown or len(set(added)) < len(added) or (added and not transformed):
        raise InputError(
            f"unknown attack {name!r}: choose fgsm, pgd, mi or sfgrm, the last two also with any "
            f"of {', '.join(TRANSFORMS)} behind them, such as mi-dim or sfgrm-ni-tim"
        )
    options: dict[str, Any] = {"early_exit": False} if base == "pgd" else {}
    if transformed:
        options["transforms"] = [each for each in TRANSFORMS if each in added]
    return make_attack(known, space=space, **options)


@dataclass(frozen=True)
class TransferSettings:
    """What a user chose, the networks apart; epsilons rising, in 0 … 1. gradient: of Engine."""

    attacks: tuple[str, ...]
    epsilons: tuple[float, ...]
    samples: int
    gradient: str = "ste"
    command: str = ""


class TransferStudy:
    """Every network in float and on the engine: all craft, all judge, on the same images.

    Raises InputError for networks that do not belong together, and AttackError for an epsilon
    below one step of the input grid.
    """

    def __init__(
        self, settings: TransferSettings, networks: Sequence[Network], test: Samples
    ) -> None:
        self.began = time.perf_counter()
        self.settings, self.networks = settings, list(networks)
        _check_together(self.networks)
        self.grid = space_of(self.networks[0].program)
        self.attacks = {name: attack_named(name, self.grid) for name in settings.attacks}
        for epsilon in settings.epsilons:
            self.grid.step(epsilon)
        self.test = test.take(settings.samples)
        self.inputs = self.grid.snap(self.networks[0].inputs(self.test))
        self.labels = torch.from_numpy(self.test.labels)

    @cached_property
    def models(self) -> dict[str, nn.Module]:
        """``<network> float`` and ``<network> engine`` of each network, in its order."""
        found: dict[str, nn.Module] = {}
        for network in self.networks:
            engine = Engine(network.program, gradient=self.settings.gradient)  # type: ignore[arg-type]
            found |= {f"{network.name} float": network.module, f"{network.name} engine": engine}
        return found

    @property
    def names(self) -> list[str]:
        """Of the models, without making them."""
        return [f"{n.name} {kind}" for n in self.networks for kind in ("float", "engine")]

    @property
    def name(self) -> str:
        """The folder of the run."""
        config = self.networks[0].program.config
        parts = ["transfer", *(network.name for network in self.networks), config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))

    @property
    def work(self) -> int:
        """Images times crafting models times attacks."""
        return len(self.inputs) * len(self.names) * len(self.attacks)

    @cached_property
    def key(self) -> str:
        """Digest of everything that a count depends on, the choice of attacks apart."""
        chosen = {k: v for k, v in asdict(self.settings).items() if k not in ("command", "attacks")}
        programs = [fingerprint(network.program) for network in self.networks]
        facts = [chosen, BATCH, self.test.digest, self.names, programs, versions()]
        return digest(facts)

    def count(
        self, partial: Path, on_progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, Any]:
        """All counts; ``partial`` keeps each attack on each crafting model as it is finished.

        on_progress(images done, of ``work``). An interrupted study goes on after the last of them.
        """
        cells = self._resumed(partial)
        right = correct(self.models, self.inputs, self.labels, space=self.grid)
        done = 0
        for name, attack in self.attacks.items():
            for crafted_on in self.models:
                place = f"{name} on {crafted_on}"
                if place not in cells:
                    counter = _on_top(on_progress, done)
                    found = transfer(
                        self.models, self.inputs, self.labels, crafted_on=crafted_on,
                        attack=attack, epsilons=self.settings.epsilons, right=right,
                        batch_size=BATCH, progress=counter,
                    )  # fmt: skip
                    cells[place] = asdict(found)
                    keep(partial, self.key, {"cells": cells})
                done += len(self.inputs)
                on_progress(done)
        wanted = {f"{name} on {model}" for name in self.attacks for model in self.models}
        chosen = {place: cell for place, cell in cells.items() if place in wanted}
        return {"correct": {k: int(v.sum()) for k, v in right.items()}, "cells": chosen}

    def _resumed(self, partial: Path) -> dict[str, Any]:
        """What an interrupted study with the same key has finished."""
        try:
            data = kept(partial, self.key)
            cells = dict(data["cells"]) if data is not None else {}
            return {place: cell for place, cell in cells.items() if self._whole(cell)}
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}  # nothing usable is kept: start anew

    def _whole(self, cell: Any) -> bool:
        epsilons = len(self.settings.epsilons)
        success = cell["success"]
        lists = [*success.values(), cell["zero_gradient"]]
        return sorted(success) == sorted(self.names) and all(
            len(row) == epsilons and all(0 <= n <= len(self.inputs) for n in row) for row in lists
        )

    def result(self, counted: dict[str, Any]) -> dict[str, Any]:
        """What result.json holds and hwsim.report.transfer_report draws; see there."""
        config, chosen = self.networks[0].program.config, self.settings

        def table(part: str) -> dict[str, Any]:
            return {
                name: {model: counted["cells"][f"{name} on {model}"][part] for model in self.names}
                for name in self.attacks
            }

        return {
            "study": "transfer",
            "models": self.names,
            "networks": [network.name for network in self.networks],
            "config": config.name,
            "bits": config.act_w,
            **budgets.input_range(self.grid.bounds),
            "gradient": chosen.gradient,
            "attacks": list(self.attacks),
            "epsilons": list(chosen.epsilons),
            "effective_epsilons": [self.grid.effective(e) for e in chosen.epsilons],
            "samples": len(self.inputs),
            "correct": counted["correct"],
            "success": table("success"),
            "zero_gradient": table("zero_gradient"),
            "backward": table("backward"),
            "dataset": self.test.about,
            "versions": versions(),
            "command": chosen.command,
            "seconds": time.perf_counter() - self.began,
        }


def _on_top(report: Callable[[int], None], base: int) -> Callable[[int, int], None]:
    """A progress callback that reports its count on top of ``base``."""
    return lambda done, _: report(base + done)


def _check_together(networks: Sequence[Network]) -> None:
    names = [network.name for network in networks]
    if len(set(names)) < len(names):
        raise InputError(f"two networks have one name: {', '.join(names)}; give each once")
    first = networks[0]
    for other in networks[1:]:
        if other.dataset != first.dataset:
            raise InputError(
                f"{first.name} was trained on {first.dataset} and {other.name} on "
                f"{other.dataset}: images of one mean nothing to the other"
            )
        if other.program.config.act_w != first.program.config.act_w:
            raise InputError(
                f"{first.name} reads {first.program.config.act_w}-bit pixels and {other.name} "
                f"{other.program.config.act_w}-bit ones: compile both for one width"
            )
        if other.program.input != first.program.input:
            ranges = [
                "[{:g}, {:g}]".format(*space_of(network.program).bounds)
                for network in (first, other)
            ]
            raise InputError(
                f"{first.name} and {other.name} read inputs of other shapes or ranges: "
                f"{first.program.input_shape} in {ranges[0]}, {other.program.input_shape} in "
                f"{ranges[1]}"
            )
