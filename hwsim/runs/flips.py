"""A search for the worst bits of one network, in float and on the engine, over several batches."""

from __future__ import annotations

import copy
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwsim.engine.backward import GradientMode
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.faults.chase import Ended, JudgedFlips, Kept, Rules, chase, keep_all, random_flips
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.float_victim import FloatVictim
from hwsim.faults.guarded_victim import KNOWING, Knowing, key_of, victim_of
from hwsim.faults.guards import GuardChoice
from hwsim.faults.objective import Objective
from hwsim.faults.search import Flip, Victim
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.report import budgets
from hwsim.runs.count import fingerprint
from hwsim.runs.flip_catalog import FLIPS, GUESSING, IMAGES, K_TOP, MOST, REACHED
from hwsim.runs.flip_words import described
from hwsim.runs.unfinished import keep, kept

#: Of a request: what a result says in its own words.
REWORDED = ("attack", "stop", "protect", "attacker")
#: (side, batch, flips so far, accuracy or success).
Progress = Callable[[str, int, int, float | None], None]


@dataclass(frozen=True)
class FlipRequest:
    """What a user chose, the network apart.

    attack: a name of ``FLIPS``. memories: ``weights``, ``index`` or both. images: of a batch.
    k_top: words looked at in each layer, 0 for all. most: bits to flip. stop: None for the
    attack's own. batches: how many searches, each from other images. samples: test images that
    judge. target: of a targeted one; source: the class whose images are aimed at, None for all;
    image: the number of one test image instead. others: whether the rest is to stay as it is.
    protect: what guards the memories, as ``GuardChoice.of`` takes it. attacker: what he knows of
    it, or of the engine's check bits; None for all there is. gradient: of ``SLOPES``, what says
    which bits of the engine are tried.
    """

    attack: str
    samples: int
    memories: tuple[str, ...] = ("weights",)
    images: int = IMAGES
    k_top: int = K_TOP
    most: int = MOST
    stop: float | None = None
    batches: int = 1
    target: int | None = None
    source: int | None = None
    image: int | None = None
    others: bool = False
    protect: str = "none"
    attacker: Knowing | None = None
    gradient: GradientMode = "ste"
    command: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All that a search depends on."""
        return {name: value for name, value in asdict(self).items() if name != "command"}


class FlipSearch:
    """Float network and engine side by side, their bits flipped for the same images.

    training: images that the attacker owns, besides the ``test`` ones that judge. Raises InputError
    for what makes no sense: a target that is no class or the source, too few images, no such
    memory.
    """

    def __init__(
        self,
        settings: FlipRequest,
        network: Network,
        test: Samples,
        training: Callable[[], Samples],
    ) -> None:
        self.began = time.perf_counter()
        self.settings, self.network = settings, network
        self.classes = network.program.classes
        self.choice = GuardChoice.of(settings.protect)
        ecc = network.program.config.ecc
        self.guard = self.choice.text if ecc == "none" else ecc
        self.choice.check(network.program, settings.memories)
        if self.guard == "none" and settings.attacker is not None:
            raise InputError(
                "--attacker is of what guards a memory: choose a --protect, or an engine with "
                "check bits"
            )
        stop = GUESSING / self.classes if settings.stop is None else settings.stop
        if FLIPS[settings.attack].targeted:
            self._check_target(len(test))
            stop = REACHED if settings.stop is None else settings.stop
        self.rules = Rules(settings.k_top or None, settings.most, stop)
        self.test = test.take(settings.samples)
        self._grid = space_of(network.program)
        self._one = None if settings.image is None else test.at(np.array([settings.image]))
        if self._one is not None and int(self._one.labels[0]) == settings.target:
            raise InputError(
                f"image {settings.image} is of class {settings.target} already: choose another "
                "--target"
            )
        self.judged = self._judged()
        self._training = training
        # Refused before any work: memories that are not there, and too few images.
        self.parts = self._victim("engine", self._batch(0)[0], 0).parts

    def _check_target(self, there: int) -> None:
        chosen = self.settings
        for name, value in (("--target", chosen.target), ("--source", chosen.source)):
            if value is not None and not 0 <= value < self.classes:
                raise InputError(
                    f"{name} {value} is no class: choose one of 0 … {self.classes - 1}"
                )
        if chosen.target is not None and chosen.target == chosen.source:
            raise InputError(f"class {chosen.target} is source and target: choose two classes")
        if chosen.image is not None and not 0 <= chosen.image < there:
            raise InputError(f"there is no test image {chosen.image}: 0 … {there - 1} are there")

    # ------------------------------------------------------------ images

    def _inputs(self, data: Samples) -> Tensor:
        return self._grid.snap(self.network.inputs(data))

    def _judged(self) -> JudgedFlips:
        chosen = self.settings
        inputs, labels = self._inputs(self.test), self.test.labels
        if chosen.target is None:
            return JudgedFlips(inputs, labels)
        if self._one is not None:
            inputs = torch.cat([self._inputs(self._one), inputs])
            labels = np.concatenate([self._one.labels, labels])
            aimed = np.arange(len(labels)) == 0
        elif chosen.source is not None:
            aimed = labels == chosen.source
        else:
            aimed = labels != chosen.target
        if not aimed.any():
            raise InputError(
                f"none of the {len(labels)} test images is of class {chosen.source}: take more "
                "--samples"
            )
        return JudgedFlips(inputs, labels, chosen.target, aimed)

    def _batch(self, number: int) -> tuple[Tensor, int]:
        """The images of a search, and how many of them, the first, are aimed at."""
        chosen, noise = self.settings, np.random.default_rng(number)
        found = self._owned
        if chosen.target is None:
            return self._inputs(_some(found, chosen.images, noise)), chosen.images
        rest = found.without(chosen.target if chosen.source is None else chosen.source)
        if self._one is not None:
            aimed: Samples = self._one
            rest = found
        elif chosen.source is not None:
            aimed = _some(found.at(found.labels == chosen.source), chosen.images, noise)
        else:
            aimed = _some(rest, chosen.images, noise)
            rest = found.at(found.labels == chosen.target)
        inputs = self._inputs(aimed)
        if chosen.others:
            inputs = torch.cat([inputs, self._inputs(_some(rest, chosen.images, noise))])
        return inputs, len(aimed)

    @cached_property
    def _owned(self) -> Samples:
        return self._training()

    # ------------------------------------------------------------ searches

    @property
    def sides(self) -> list[str]:
        """Who is attacked: an image without a float network has none, nor has index bits any.

        What guards the engine's memories is none of a float network.
        """
        on_float = "weights" in self.settings.memories and not self.network.alone
        on_float = on_float and self.guard == "none"
        return ["engine", "float"] if on_float else ["engine"]

    @property
    def name(self) -> str:
        """The folder of the run."""
        chosen, config = self.settings, self.network.program.config
        parts = [chosen.attack, self.network.name, config.name]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        parts += ["+".join(chosen.memories)] if chosen.memories != ("weights",) else []
        if self.guard != "none":
            parts += [self.guard.replace(":", "-"), chosen.attacker or KNOWING[0]]
        plain = FlipRequest(chosen.attack, chosen.samples)
        for name in (
            "target", "source", "image", "others", "images", "k_top", "gradient", "most", "stop",
        ):  # fmt: skip
            value = getattr(chosen, name)
            if value != getattr(plain, name):
                parts.append(f"{name.replace('_', '-')}-{value}")
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(parts))

    @cached_property
    def key(self) -> str:
        """Digest of everything that a search depends on, the number of batches apart."""
        chosen = {k: v for k, v in self.settings.facts.items() if k != "batches"}
        facts = [chosen, self.rules.stop, self.test.digest, self._owned.digest]
        return digest([*facts, fingerprint(self.network.program), versions()])

    def _victim(
        self, side: str, images: Tensor, number: int, knows: Knowing | None = None
    ) -> Victim:
        """The network before the attacker; knows: what he knows of what guards it."""
        if side == "engine":
            program, memories = self.network.program, self.settings.memories
            gradient = self.settings.gradient
            if self.guard == "none":
                return EngineVictim(program, images, memories, gradient=gradient)
            knows = knows or self.settings.attacker or KNOWING[0]
            key = key_of(number)
            return victim_of(program, images, memories, self.choice, knows, key, gradient)
        module = copy.deepcopy(self.network.module)
        return FloatVictim(module, self.network.program, images)

    def run(
        self, partial: Path, on_progress: Progress = lambda side, batch, flips, score: None
    ) -> dict[str, list[dict[str, Any]]]:
        """Every search: by side, one a batch. ``partial`` keeps each step as it is made.

        Interrupted, the same call goes on behind the last flip; with more batches it adds them.
        """
        known = self._resumed(partial)
        found: dict[str, list[dict[str, Any]]] = {}
        for side in self.sides:
            found[side] = []
            for number in range(self.settings.batches):
                place = f"{side} {number}"

                def note(
                    steps: list[Kept], *, place: str = place, end: Ended | None = None
                ) -> None:
                    known[place] = {"steps": [_as_facts(one) for one in steps], "ended": end}
                    keep(partial, self.key, {"searches": known})
                    side, number = place.split()
                    flips = sum(len(one.flips) for one in steps)
                    score = None
                    if steps:
                        last = steps[-1]
                        score = last.accuracy if last.success is None else last.success
                    on_progress(side, int(number), flips, score)

                found[side].append(self._search(side, number, known.get(place), note))
        return found

    def _search(
        self, side: str, number: int, known: Mapping[str, Any] | None, note: Any
    ) -> dict[str, Any]:
        images, aimed = self._batch(number)
        victim = self._victim(side, images, number)
        clean = self.judged.scores(victim)
        objective = self._objective(victim, aimed)
        before = [_as_kept(one) for one in known["steps"]] if known else []
        steps, ended = chase(victim, objective, self.judged, self.rules, before, note)
        note(steps, end=ended)
        flips = [flip for one in steps for flip in one.flips]
        return {
            "batch": number,
            "clean": {"accuracy": clean[0], "success": clean[1]},
            "ended": ended,
            "flips": len(flips),
            "steps": [
                {
                    "loss_before": abs(one.before), "loss": abs(one.after),
                    "accuracy": one.accuracy, "success": one.success,
                    "flips": [
                        described(victim, flip, word)
                        for flip, word in zip(one.flips, one.words, strict=True)
                    ],
                }
                for one in steps
            ],
            "random": self._at_random(side, images, len(flips), number),
        }  # fmt: skip

    def _objective(self, victim: Victim, aimed: int) -> Objective:
        answers: NDArray[np.int64] = victim.logits().argmax(1)
        if self.settings.target is None:
            return Objective.away(answers)
        return Objective.towards(self.settings.target, aimed, answers[aimed:])

    def _at_random(self, side: str, images: Tensor, count: int, seed: int) -> dict[str, Any] | None:
        """What as many random flips do: what they cost says how much the search is worth."""
        if not count:
            return None
        victim = self._victim(side, images[:1], seed, "adaptive")
        keep_all(victim, random_flips(victim, count, seed))
        accuracy, success = (None, None) if victim.stopped else self.judged.scores(victim)
        return {"accuracy": accuracy, "success": success}

    def _resumed(self, partial: Path) -> dict[str, Any]:
        """What an interrupted run with the same key has flipped."""
        try:
            data = kept(partial, self.key)
            found = dict(data["searches"]) if data is not None else {}
            for search in found.values():
                for one in search["steps"]:
                    _as_kept(one)
            return found
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}  # nothing usable is kept: start anew

    # ------------------------------------------------------------ result

    def result(self, found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """What result.json holds and hwsim.report.flip_report shows; see there."""
        program, chosen = self.network.program, self.settings
        return {
            "attack": chosen.attack,
            "model": self.network.name,
            "config": program.config.name,
            "bits": program.config.act_w,
            **budgets.input_range(self._grid.bounds),
            **{k: v for k, v in chosen.facts.items() if k not in REWORDED},
            "stop": self.rules.stop,
            "protect": self.guard,
            "attacker": None if self.guard == "none" else chosen.attacker or KNOWING[0],
            "classes": self.classes,
            "aimed": None if self.judged.aimed is None else int(self.judged.aimed.sum()),
            "searched": [asdict(part) for part in self.parts],
            "sides": found,
            "dataset": self.test.about,
            "training": self._owned.about,
            "versions": versions(),
            "command": chosen.command,
            "seconds": time.perf_counter() - self.began,
        }


def _some(data: Samples, count: int, noise: np.random.Generator) -> Samples:
    """``count`` of the images by chance. Raises InputError where there are fewer."""
    if count > len(data):
        raise InputError(
            f"{count} images asked for: {data.phrase} leaves the attacker {len(data)}: choose "
            "fewer --images"
        )
    return data.at(noise.permutation(len(data))[:count])


def _as_facts(one: Kept) -> dict[str, Any]:
    return asdict(one) | {"flips": [[flip.part, flip.word, flip.bit] for flip in one.flips]}


def _as_kept(facts: Mapping[str, Any]) -> Kept:
    """What ``_as_facts`` wrote; JSON has no infinities."""
    return replace(
        Kept(**facts),
        flips=tuple(Flip(*map(int, flip)) for flip in facts["flips"]),
        words=tuple(map(int, facts["words"])),
        before=_number(facts["before"]),
        after=_number(facts["after"]),
    )


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
