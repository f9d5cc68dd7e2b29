"""The audit of one network: its stages in order, what they found, and where to go on."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.evaluate.rates import Rate
from hwsim.audit import agreement
from hwsim.audit import integers as datapath
from hwsim.audit.attempts import Effort, Trial, attempt, converge, skipped, trials
from hwsim.audit.evidence import Evidence
from hwsim.audit.flag_texts import BY_KEY
from hwsim.audit.flags import judge_all
from hwsim.audit.gradients import NAIVE, examine, usable_losses
from hwsim.audit.tails import Tail, tails
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.report import budgets, robustbench
from hwsim.runs.count import fingerprint
from hwsim.runs.unfinished import keep, kept

#: Draws of random directions on an image, for each depth and step width.
DIRECTIONS = 16
#: Images whose pixels are moved one by one, two inferences each.
COORDINATE_IMAGES = 2
#: Losses whose PGD is watched to its last step.
WATCHED = (NAIVE, "margin")


@dataclass(frozen=True)
class AuditSettings:
    """What a user chose, the network apart. command: what reproduces the run."""

    model: str
    images: int
    effort: Effort
    command: str = ""


@dataclass(frozen=True)
class AuditPhase:
    """One step of the audit. cost: of the order of inferences per image."""

    name: str
    cost: int
    run: Callable[[Evidence], Evidence]


class Audit:
    """The stages, on the test images that the engine classifies correctly.

    sources: networks, by name, on which transfer attacks are crafted; they may be float modules or
    Engines. Raises InputError if no image is classified correctly, AttackError for an epsilon
    below one step of the input grid.
    """

    def __init__(
        self,
        settings: AuditSettings,
        network: Network,
        test: Samples,
        sources: Mapping[str, nn.Module],
    ) -> None:
        self.began = time.perf_counter()
        self.settings, self.network, self.sources = settings, network, dict(sources)
        grid = space_of(network.program)
        for epsilon in settings.effort.epsilons:
            grid.step(epsilon)
        self.grid, self.test = grid, test.take(settings.images)
        self.engine = Engine(network.program)
        x, labels = grid.snap(network.inputs(self.test)), torch.from_numpy(self.test.labels)
        right = judge(self.engine, x).argmax(1) == labels
        if not bool(right.any()):
            raise InputError(
                f"{settings.model} classifies none of {len(x)} test images correctly: there is "
                "nothing to attack"
            )
        self.inputs, self.labels = x[right], labels[right]

    @property
    def name(self) -> str:
        """The folder of the run."""
        config = self.network.program.config
        parts = ["audit", self.network.name, config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts))

    def stages(self) -> Iterator[AuditPhase]:
        """In order: the cheap probes first, and what needs the outcome of others behind them."""
        yield AuditPhase("repeated inference", 10, self._stability)
        yield AuditPhase("saturation and ties", 1, self._saturation)
        yield AuditPhase("gradients by loss", 18, self._gradients)
        for tail in tails(self.engine):
            yield from self._agreement(tail)
        for trial in trials(self.engine, self.settings.effort, tuple(self.sources)):
            yield AuditPhase(trial.name, trial.cost, self._attempt(trial))
        for loss in WATCHED:
            cost = 6 * self.settings.effort.steps * len(self.settings.effort.epsilons)
            yield AuditPhase(f"last steps of pgd {loss}", cost, self._convergence(loss))

    def run(
        self,
        partial: Path,
        on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
    ) -> Evidence:
        """Every stage; ``partial`` keeps finished ones, so that an interrupted run goes on.

        on_progress(stage that begins, cost done, cost in all). Raises InputError where ``partial``
        cannot be written; what it holds of another run, or in part, is not used.
        """
        stages = list(self.stages())
        evidence, finished = self._resumed(partial, {stage.name for stage in stages})
        total = sum(stage.cost for stage in stages)
        done = 0
        for stage in stages:
            on_progress(stage.name, done, total)
            done += stage.cost
            if stage.name in finished:
                continue
            evidence.merge(stage.run(evidence))
            finished.append(stage.name)
            keep(partial, self.key, {"finished": finished, "evidence": evidence.as_dict()})
        on_progress("done", total, total)
        return evidence

    @cached_property
    def key(self) -> str:
        """Digest of everything that the evidence depends on."""
        effort = asdict(self.settings.effort)
        sources = {name: _digest(module) for name, module in self.sources.items()}
        facts = [effort, self.test.digest, fingerprint(self.network.program), sources, skipped()]
        return digest([*facts, versions()])

    def _resumed(self, partial: Path, known: set[str]) -> tuple[Evidence, list[str]]:
        try:
            data = kept(partial, self.key)
            if data is not None and set(data["finished"]) <= known:
                return Evidence.from_dict(data["evidence"]), list(data["finished"])
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            pass  # nothing usable is kept: start anew
        return self._nothing(), []

    def _nothing(self) -> Evidence:
        return Evidence(len(self.inputs))

    def _stability(self, _: Evidence) -> Evidence:
        found = self._nothing()
        found.stability = datapath.stability(self.engine, self.inputs)
        found.skipped = skipped()
        return found

    def _saturation(self, _: Evidence) -> Evidence:
        found = self._nothing()
        found.saturation = datapath.saturation(self.engine, self.inputs)
        found.ties = datapath.ties(self.engine, self.inputs)
        return found

    def _gradients(self, _: Evidence) -> Evidence:
        found = self._nothing()
        losses = usable_losses(self.network.program.classes)
        found.gradients = [examine(self.engine, self.inputs, self.labels, x) for x in losses]
        return found

    def _agreement(self, tail: Tail) -> Iterator[AuditPhase]:
        def run(_: Evidence) -> Evidence:
            found = self._nothing()
            maps, labels = self._read_by(tail), self.labels.numpy()
            for step in agreement.widths(tail.program.config.act_max):
                found.agreement.append(
                    agreement.directions(
                        tail.program, maps, labels, depth=tail.depth, step=step, draws=DIRECTIONS
                    )
                )
                if tail.map is None:
                    few = slice(COORDINATE_IMAGES)
                    found.agreement.append(
                        agreement.coordinates(tail.program, maps[few], labels[few], step=step)
                    )
            return found

        yield AuditPhase(f"finite differences, {tail.depth}", 120, run)

    def _read_by(self, tail: Tail) -> Any:
        """(N, C, H, W) int64: the integers of the map where ``tail`` begins."""
        if tail.map is None:
            return self.engine.grid(self.inputs).transpose(0, 3, 1, 2).astype(np.int64)
        return self.engine.feature_maps(self.inputs)[tail.map].astype(np.int64)

    def _attempt(self, trial: Trial) -> Callable[[Evidence], Evidence]:
        def run(_: Evidence) -> Evidence:
            found = self._nothing()
            source = self.sources[trial.source] if trial.source else None
            made = attempt(trial, self.engine, self.inputs, self.labels, source)
            found.attempts[trial.name] = made
            return found

        return run

    def _convergence(self, loss: str) -> Callable[[Evidence], Evidence]:
        def run(before: Evidence) -> Evidence:
            found = self._nothing()
            made, steps = before.attempts[f"pgd {loss}"], self.settings.effort.steps
            rows, longer = converge(self.engine, self.inputs, self.labels, loss, steps, made)
            found.convergence = rows
            found.attempts[longer.name] = longer
            return found

        return run

    def result(self, evidence: Evidence) -> dict[str, Any]:
        """The dict that hwsim.audit.report describes."""
        program, effort = self.network.program, self.settings.effort
        verdicts = [
            {"key": v.key, "title": BY_KEY[v.key].title, "raised": v.raised, "finding": v.finding}
            | {"rows": v.rows}
            for v in judge_all(evidence)
        ]
        found = {
            "model": self.settings.model,
            "config": program.config.name,
            "bits": program.config.act_w,
            **budgets.input_range(self.grid.bounds),
            "history": list(program.history),
            "samples": len(self.test),
            "correct": evidence.images,
            "epsilons": list(effort.epsilons),
            "effective_epsilons": [self.grid.effective(e) for e in effort.epsilons],
            "steps": effort.steps,
            "draws": effort.draws,
            "queries": effort.queries,
            "sources": list(self.sources),
            "dataset": self.test.about,
            "verdicts": verdicts,
            "raised": [v["key"] for v in verdicts if v["raised"]],
            "bottom_line": bottom_line(evidence, effort.epsilons),
            "evidence": evidence.as_dict(),
            "versions": versions(),
            "command": self.settings.command,
            "seconds": time.perf_counter() - self.began,
        }
        return found | {"robustbench": robustbench.of_audit(found)}


def bottom_line(evidence: Evidence, epsilons: tuple[float, ...]) -> list[dict[str, Any]]:
    """Per ε: the naive number, and how many images any attack of the suite has fooled by then."""
    naive = evidence.attempts[f"fgsm {NAIVE}"]
    rows = []
    for at, epsilon in enumerate(epsilons):
        hits = [made.reached(epsilon) for made in evidence.attempts.values()]
        simple = Rate(int(naive.table[at].sum()), evidence.images)
        worst = Rate(int(np.any(hits, axis=0).sum()), evidence.images)
        strongest = max(evidence.attempts.values(), key=lambda made: made.reached(epsilon).sum())
        rows.append(
            {
                "epsilon": epsilon,
                "naive": simple.value,
                "naive_interval": list(simple.interval),
                "worst": worst.value,
                "worst_interval": list(worst.interval),
                "strongest": strongest.name,
                "strongest_rate": float(strongest.reached(epsilon).mean()),
            }
        )
    return rows


def _digest(module: nn.Module) -> str:
    if isinstance(module, Engine):
        return fingerprint(module.program)
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
