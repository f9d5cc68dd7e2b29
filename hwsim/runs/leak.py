"""The timing leak of an engine that skips zeros, and what padding it away costs.

The time of such an engine depends on the image. ``LeakStudy`` counts the cycles of test images and
asks how well their class, the engine's answer, and whether an image was trained on can be told from
them; then it pads, layer by layer or the whole, and asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.padding import Cycles, Padding, Scope
from hwsim.cost.timing import analyze
from hwsim.engine.cycles import timing_of
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.networks.own_data import OwnData
from hwsim.runs import guessers
from hwsim.runs.information import information
from hwsim.runs.leak_judge import FEWER, Judge, membership_verdict
from hwsim.runs.observers import Observed, Observer, observers
from hwsim.runs.timed import Timed, class_of, membership_of, timed_images
from hwsim.units import sequencer

#: Floors of the curve of leak against cost.
CURVE = ("q0", "q50", "q75", "q90", "q95", "q99", "q100", "worst")

#: Who sees no time at all, but the image, a little: what any leak is to be compared with.
ALONE = "(image)"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LeakSettings:
    """What a user chose. observed, noises: see ``observers``. pad: of the first table.

    curve: whether the leak is judged under every floor of ``CURVE`` too.
    """

    observed: Observed = "both"
    noises: tuple[float, ...] = (100.0,)
    pad: Padding = field(default_factory=Padding)
    seed: int = 0
    curve: bool = True

    @property
    def observers(self) -> tuple[Observer, ...]:
        return observers(self.observed, self.noises)


class LeakStudy:
    """One skipping network under a stopwatch; ``run`` gives the result dict that reports show.

    test: images whose class is guessed. training: others; every second one sets floors. The rest
    are members, where ``test`` is no data of a user's, whose training is not known.

    Raises InputError for an engine that does not skip, images of one class, fewer images than
    classes, and without scikit-learn.
    """

    def __init__(
        self,
        network: Network,
        test: Samples,
        training: Samples,
        settings: LeakSettings,
        on_progress: Progress = lambda what, done, total: None,
    ) -> None:
        guessers.require()
        self.network, self.test, self.settings = network, test, settings
        self.on_progress = on_progress
        program = network.program
        if not program.config.skip:
            raise InputError(
                f"{network.name}: the engine {program.config.name} does not skip zeros, so its "
                "time is the same for all images: give --skip, or a configuration with skip = true"
            )
        present = np.unique(test.labels)
        if len(present) < 2:
            raise InputError(
                f"{test.phrase}: all {len(test)} images are of class {present[0]}: there is "
                "nothing to tell apart"
            )
        if len(test) < program.classes:
            raise InputError(
                f"{len(test)} images are fewer than the {program.classes} classes: choose more "
                "--samples"
            )
        guessers.check(test.labels, settings.seed)
        own = isinstance(test, OwnData)
        several = training.take(min(len(training), len(test) * (1 if own else 2)))
        numbers = np.arange(len(several))
        self.calibration = several if own else several.at(numbers % 2 == 0)
        self.members = None if own else several.at(numbers % 2 == 1)
        self.why_not = (
            "" if not own else "which images a user's network was trained on is not known"
        )
        if self.members is not None and len(self.members) < 2 * guessers.FOLDS:
            self.members, self.why_not = None, "there are too few training images"
        static = analyze(program)
        self.worst = timing_of(program).worst
        self.layers = [(layer.name, layer.kind) for layer in static.layers]
        self.unskipped = analyze(program.skipping(False)).cycles

    def run(self) -> dict[str, Any]:
        """Everything: see ``hwsim.report.leak_report`` for how it is shown."""
        engine = Engine(self.network.program)
        parts = [self.test, self.calibration, *([self.members] if self.members else [])]
        total = sum(len(part) for part in parts)
        timed: list[Timed] = []
        for part in parts:
            before = sum(len(one.answers) for one in timed)

            def show(done: int, before: int = before) -> None:
                self.on_progress("counting cycles", before + done, total)

            x = space_of(self.network.program).snap(self.network.inputs(part))
            timed.append(self._bounded(timed_images(engine, x, show, asked=part is self.test)))
        test, calibration = timed[:2]
        return self._result(test, calibration.cycles, timed[2] if self.members else None)

    def _bounded(self, found: Timed) -> Timed:
        """The same; a layer that takes longer than its static bound is a bug of one of them."""
        if (found.cycles > self.worst).any():
            late = int((found.cycles > self.worst).any(0).argmax())
            raise ArithmeticError(
                f"layer {self.layers[late][0]} takes {found.cycles[:, late].max()} cycles, more "
                f"than its static bound {self.worst[late]}"
            )
        return found

    def _result(self, test: Timed, calibration: Cycles, members: Timed | None) -> dict[str, Any]:
        chosen, config = self.settings, self.network.program.config
        floors = chosen.pad.floors(calibration, self.worst)
        layers, total = chosen.pad.apply(test.cycles, floors)
        jobs = self._jobs(Judge(chosen.seed), test, calibration, members)
        rows: dict[str, dict[str, Any]] = {
            name: {} for name in (*(one.name for one in chosen.observers), ALONE)
        }
        curve: list[dict[str, Any]] = []
        for done, (what, name, make) in enumerate(jobs):
            self.on_progress(f"{what}, {name}", done, len(jobs))
            if what in ("class", "answer", "membership"):
                rows[name][what] = make()
            else:
                curve.append(make())
        self.on_progress("done", len(jobs), len(jobs))
        alone = rows.pop(ALONE)
        for secrets in rows.values():
            if "membership" in secrets:
                found = secrets["membership"]
                found["verdict"] = membership_verdict(found, alone["membership"])
        return {
            "kind": "leak",
            "model": self.network.name,
            "config": config.name,
            "bits": config.act_w,
            "classes": self.network.program.classes,
            "samples": len(self.test),
            "calibration": len(calibration),
            "members": 0 if members is None else len(members.cycles),
            "why_no_members": self.why_not,
            "seed": chosen.seed,
            "right": int((test.answers == self.test.labels).sum()),
            "dataset": self.test.about,
            "pad": {"name": chosen.pad.name, "scope": chosen.pad.scope, "floors": floors.tolist()},
            "cycles": self._price(test.cycles, total),
            "by_class": self._by_class(total),
            "layers": self._layers(test.cycles, layers, floors),
            "observers": rows,
            "image_alone": alone,
            "curve": curve,
            "versions": versions(),
        }  # fmt: skip

    def _price(self, cycles: Cycles, padded: Cycles) -> dict[str, Any]:
        """Of one inference, START included: what padding costs, and what skipping saves."""
        plain, seen = cycles.sum(1) + sequencer.START, padded + sequencer.START
        return {
            "unskipped": self.unskipped,
            "worst": int(self.worst.sum()) + sequencer.START,
            "unpadded": float(plain.mean()),
            "least": int(plain.min()),
            "most": int(plain.max()),
            "deviation": float(plain.std()),
            "mean": float(seen.mean()),
            "of_unpadded": float(seen.mean() / plain.mean()),
            "of_unskipped": float(seen.mean() / self.unskipped),
        }

    def _by_class(self, padded: Cycles) -> list[dict[str, Any]]:
        """Of every class that there is: how its images' time is spread, in cycles."""
        found = []
        for label in np.unique(self.test.labels):
            own = padded[self.test.labels == label] + sequencer.START
            spread = np.quantile(own, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
            found.append({
                "class": int(label), "images": len(own), "mean": float(own.mean()),
                "quantiles": spread,
            })  # fmt: skip
        return found

    def _layers(self, cycles: Cycles, padded: Cycles, floors: Cycles) -> list[dict[str, Any]]:
        """Of every layer: its cycles, unpadded, its floor, and what it alone tells of the class."""
        found = []
        by_layer = self.settings.pad.scope == "layers"
        for at, (name, kind) in enumerate(self.layers):
            column, shown = cycles[:, at], padded[:, at : at + 1].astype(np.float64)
            random = np.random.default_rng([self.settings.seed, 2, at])
            told = information(shown, self.test.labels, random, FEWER)
            found.append({
                "name": name, "kind": kind, "least": int(column.min()),
                "mean": float(column.mean()), "most": int(column.max()),
                "worst": int(self.worst[at]), "floor": int(floors[at]) if by_layer else 0,
                "information": told.value, "information_interval": told.interval,
            })  # fmt: skip
        return found

    def _jobs(
        self, judge: Judge, test: Timed, calibration: Cycles, members: Timed | None
    ) -> list[tuple[str, str, Callable[[], dict[str, Any]]]]:
        """(what, whose or which pad, how), in the order of the result."""
        chosen, seed = self.settings, self.settings.seed
        pad, floors = chosen.pad, chosen.pad.floors(calibration, self.worst)
        jobs: list[tuple[str, str, Callable[[], dict[str, Any]]]] = []
        secrets = {"class": self.test.labels}
        with suppress(InputError):  # who always answers the same has no secret
            guessers.check(test.answers, seed)
            secrets["answer"] = test.answers

        def by(name: str, seen: Callable[[Timed], NDArray[np.float64]]) -> None:
            for what, labels in secrets.items():
                jobs.append((what, name, partial(class_of, judge, seen, test, labels)))
            if members is not None:
                jobs.append(
                    ("membership", name, partial(membership_of, judge, seen, test, members))
                )

        for number, who in enumerate(chosen.observers):

            def sees(timed: Timed, who: Observer = who, number: int = number) -> Any:
                random = np.random.default_rng([seed, 0, number])
                return who.observe(*pad.apply(timed.cycles, floors), random)

            by(who.name, sees)
        by(ALONE, lambda timed: timed.looks)
        if chosen.curve:
            jobs += self._curve(judge, test, calibration)
        return jobs

    def _curve(
        self, judge: Judge, test: Timed, calibration: Cycles
    ) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
        """Every floor, of layers and of the whole; a floor of the whole is for who sees only it."""
        scopes: tuple[Scope, ...] = ("layers", "total")
        for scope in scopes:
            for text in CURVE:
                pad = Padding.of(text, scope)
                for who in self.settings.observers:
                    if who.noise or (scope == "total" and who.sees == "layers"):
                        continue
                    yield (
                        f"pad {text} of {scope}",
                        who.name,
                        self._point(judge, pad, who, test, calibration),
                    )

    def _point(
        self, judge: Judge, pad: Padding, who: Observer, test: Timed, calibration: Cycles
    ) -> Callable[[], dict[str, Any]]:
        def make() -> dict[str, Any]:
            floors = pad.floors(calibration, self.worst)
            layers, total = pad.apply(test.cycles, floors)
            compared = test.cycles if pad.scope == "layers" else test.cycles.sum(1, keepdims=True)
            seen = who.observe(layers, total, np.random.default_rng(self.settings.seed))
            found = judge(seen, self.test.labels, FEWER)
            kept = ("information", "information_interval", "entropy", "accuracy", "interval",
                    "chance", "guesser", "pairs", "separated", "verdict")  # fmt: skip
            return {
                "pad": pad.name, "scope": pad.scope, "observer": who.name,
                "above": float((compared > floors).any(1).mean()),
                **self._price(test.cycles, total), **{key: found[key] for key in kept},
            }  # fmt: skip

        return make
