"""One membership run: every attack on everything that is seen, kept row by row."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.membership.attack import MembershipTarget, Shadowed, attack, label_scores
from hwsim.attacks.membership.known import MembershipEntry
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.shadows import (
    ShadowRecipe,
    memberships,
    reduced,
    small_network,
    train_batched,
)
from hwsim.attacks.membership.splits import LEAST
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.runs.count import fingerprint
from hwsim.runs.membership.sides import check_sides, repeated
from hwsim.runs.membership.views import engine_records, float_records, shadow_records
from hwsim.runs.membership_catalog import EPOCHS, SHADOWS, USUAL, VIEWS, applies, attacks
from hwsim.runs.unfinished import keep, kept

Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MembershipRequest:
    """What a user chose, the network apart.

    attack: a name of the catalogue, ``mia`` for all. samples: members, and as many others. views:
    what the attacker sees, a table each. shadows: models, an even number. epochs: of an attacker
    that learns. seed: of halves, shadow models and attackers.
    """

    attack: str
    samples: int
    views: tuple[str, ...] = USUAL
    shadows: int = SHADOWS
    epochs: int = EPOCHS
    seed: int = 0
    command: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All that the numbers depend on."""
        return {name: value for name, value in asdict(self).items() if name != "command"}


class MembershipRun:
    """A network, members and others, and what attackers make of its answers.

    left_out: why attacks that look inside are not tried, of a network without a linear last layer;
    empty where they are. repeated: others that are among the members, too. Raises InputError where
    no attack can use what is seen, for too few samples, samples without labels, and the same ones
    on both sides.
    """

    def __init__(
        self, settings: MembershipRequest, network: Network, members: Samples, others: Samples
    ) -> None:
        self.began = time.perf_counter()
        self.settings, self.network = settings, network
        if unknown := [view for view in settings.views if view not in VIEWS]:
            raise InputError(f"unknown view {unknown[0]!r}: choose from {', '.join(VIEWS)}")
        self.jobs: list[tuple[MembershipEntry, str]] = [
            (entry, view)
            for entry in attacks(settings.attack)
            for view in settings.views
            if applies(entry, view)
        ]
        if not self.jobs:
            raise InputError(
                f"{settings.attack} cannot use {', '.join(settings.views)}: choose another --view"
            )
        if settings.samples < LEAST:
            raise InputError(f"an attacker needs {LEAST} members and {LEAST} others at least")
        if settings.shadows < 2 or settings.shadows % 2:
            raise InputError(f"shadow models come in pairs, got {settings.shadows}")
        check_sides(members, others)
        # Drawn: spread evenly, MNIST's digits would all be of one of its two sources.
        self.members, self.others = (
            one.drawn(settings.samples, settings.seed)[0] for one in (members, others)
        )
        self.engine = Engine(network.program)
        space = space_of(network.program)
        # The pixels of the machine, for the float network too: they differ by arithmetic alone.
        self.x = [space.snap(network.inputs(one)) for one in (self.members, self.others)]
        self.y = [torch.from_numpy(one.labels) for one in (self.members, self.others)]
        self.repeated = repeated(*self.x)
        self._seen: dict[tuple[str, bool], tuple[Records, Records]] = {}
        self.left_out = self._closed()
        if self.left_out:
            self.jobs = [job for job in self.jobs if job[0].sees != "white"]
            if not self.jobs:
                raise InputError(self.left_out)

    def _closed(self) -> str:
        """Why nobody can look inside this network; empty where one can, or nobody wants to."""
        if all(entry.sees != "white" for entry, _ in self.jobs):
            return ""
        try:
            float_records(self.network.module, self.x[0][:1], self.y[0][:1], white=True)
        except AttackError as error:
            return str(error)
        return ""

    @property
    def name(self) -> str:
        """The folder of the run."""
        chosen, config = self.settings, self.network.program.config
        parts = [chosen.attack, self.network.name, config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        parts += ["-".join(chosen.views)] if chosen.views != USUAL else []
        parts += [f"seed-{chosen.seed}"] if chosen.seed else []
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts))

    @cached_property
    def key(self) -> str:
        """Digest of everything that the numbers depend on."""
        return digest([
            self.settings.facts, self.members.digest, self.others.digest,
            fingerprint(self.network.program), versions(),
        ])  # fmt: skip

    # ------------------------------------------------------------ counting

    def run(self, partial: Path, on_progress: Progress = lambda done, total: None) -> list[Row]:
        """A row for each attack and view; interrupted, the same call goes on where it stopped."""
        rows = self._resumed(partial)
        on_progress(len(rows), len(self.jobs))
        for entry, view in self.jobs[len(rows) :]:
            outcome = attack(entry.name, self._target(entry, view))
            rows.append({
                "attack": entry.name, "view": view, **outcome.judged.facts(),
                "epochs": outcome.epochs,
            })  # fmt: skip
            keep(partial, self.key, {"rows": rows})
            on_progress(len(rows), len(self.jobs))
        return rows

    def _resumed(self, partial: Path) -> list[Row]:
        data = kept(partial, self.key)
        rows = [] if data is None else data.get("rows", [])
        jobs = [(entry.name, view) for entry, view in self.jobs]
        if [(row.get("attack"), row.get("view")) for row in rows] != jobs[: len(rows)]:
            return []
        return list(rows)

    def _target(self, entry: MembershipEntry, view: str) -> MembershipTarget:
        members, others = self._records(view, entry.sees == "white")
        asked = None
        if entry.queries:
            bounds = self.engine.bounds
            sides = [(x, y) for x, y in zip(self.x, self.y, strict=True)]
            asked = label_scores(self._ask(view), sides[0], sides[1], bounds)
        return MembershipTarget(
            members, others, asked, self._shadowed(view) if entry.shadows else None,
            self.settings.seed, self.settings.epochs,
        )  # fmt: skip

    def _records(self, view: str, white: bool) -> tuple[Records, Records]:
        """Of members and others; each is looked at once."""
        if (view, white) not in self._seen:
            found = [
                float_records(self.network.module, x, y, white)
                if view == "float"
                else engine_records(self.engine, x, y, view, white)
                for x, y in zip(self.x, self.y, strict=True)
            ]
            self._seen[view, white] = found[0], found[1]
        return self._seen[view, white]

    def _ask(self, view: str) -> Callable[[Tensor], Tensor]:
        def of_float(x: Tensor) -> Tensor:
            with at_inference(self.network.module), torch.no_grad():
                answers: Tensor = self.network.module(x).argmax(1)
            return answers

        def of_engine(x: Tensor) -> Tensor:
            return self.engine.integer_logits(x).argmax(1)

        return of_float if view == "float" else of_engine

    @cached_property
    def _shadows(self) -> tuple[list[torch.nn.Module], Tensor, Tensor, Any]:
        """Models, the samples as they take them, labels, and who was trained on what."""
        x, y = reduced(torch.cat(self.x)), torch.cat(self.y)
        inside = memberships(len(x), self.settings.shadows, self.settings.seed)
        classes = self.network.program.classes
        models = train_batched(
            lambda: small_network(x.shape[1], classes), x, y, inside,
            ShadowRecipe(seed=self.settings.seed),
        )  # fmt: skip
        return models, x, y, inside

    def _shadowed(self, view: str) -> Shadowed:
        models, x, y, inside = self._shadows
        return Shadowed.of([shadow_records(one, x, y, view) for one in models], inside)

    # ------------------------------------------------------------ result

    def result(self, rows: list[Row]) -> dict[str, Any]:
        """What result.json holds and hwsim.report.membership_report shows; see there."""
        config, chosen = self.network.program.config, self.settings
        accuracy = {}
        for view in ("float", "engine"):
            sides = self._records(view, False)
            names = ("members", "others")
            accuracy[view] = {
                name: float(one.correct.double().mean())
                for name, one in zip(names, sides, strict=True)
            }
        return {
            **chosen.facts,
            "model": self.network.name,
            "config": config.name,
            "bits": config.act_w,
            "accuracy": accuracy,
            "rows": rows,
            "left_out": self.left_out,
            "repeated": self.repeated,
            "members": self.members.about,
            "dataset": self.others.about,
            "versions": versions(),
            "command": chosen.command,
            "seconds": time.perf_counter() - self.began,
        }
