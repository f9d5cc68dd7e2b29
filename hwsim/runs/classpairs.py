"""The class-pair study of JSMA on one network, float beside fixed point, and HJSMA by elements."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.evaluate.classpairs import HARDNESS_LEVELS, HEADLINE, ClassPairs, class_pairs
from hwsim.attacks.greedy import REACHED
from hwsim.attacks.jsma import HJSMA, JSMA
from hwsim.engine.module import Engine
from hwsim.engine.space import space_of
from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.models.datasets.samples import Samples
from hwsim.networks.open import Network, versions
from hwsim.runs.count import fingerprint
from hwsim.runs.unfinished import keep, kept

#: Source images between two updates of the progress bar and of what an interrupted run keeps.
BATCH = 10
#: Papernot et al. 2016, on their own network: success, least and largest mean distortion.
PUBLISHED = {"success": 0.9710, "distortion": [0.0402, 0.0444], "max_distortion": HEADLINE}

_State = dict[str, dict[str, Any]]
Some = TypeVar("Some", bound=Samples)


@dataclass(frozen=True)
class StudySettings:
    """What a user chose. per_class: images of each class. theta, output, block: of JSMA."""

    model: str
    per_class: int
    theta: float = 1.0
    output: str = "probabilities"
    block: int = 1
    command: str = ""


def balanced(data: Some, count: int, names: Sequence[str]) -> Some:
    """``count`` images of each class, spread evenly over its images, the classes taking turns.

    names: of all classes. Raises InputError where a class has fewer.
    """
    rows = []
    for label, name in enumerate(names):
        mine = np.flatnonzero(data.labels == label)
        if not 1 <= count <= len(mine):
            raise InputError(
                f"{count} images of each class asked for: {data.phrase} gives "
                f"{f'1 to {len(mine)}' if len(mine) else 'none'} of class {name}"
            )
        rows.append(mine[np.arange(count) * len(mine) // count])
    chosen = np.stack(rows, 1).ravel()
    return data.at(chosen)


class JsmaStudy:
    """One network, attacked as float and as engine, each through its own derivatives.

    Raises InputError for an impossible number of samples, AttackError for options of the attack.
    """

    def __init__(self, settings: StudySettings, network: Network, test: Samples) -> None:
        self.began = time.perf_counter()
        self.settings, self.network = settings, network
        classes, known = network.program.classes, test.class_names
        self.names = [known[n] if n < len(known) else str(n) for n in range(classes)]
        self.test = balanced(test, settings.per_class, self.names)
        self.inputs = network.inputs(self.test)
        self.labels = torch.from_numpy(self.test.labels)
        self.grid = space_of(network.program)
        self.attack = JSMA(
            theta=settings.theta, max_distortion=HARDNESS_LEVELS[-1], block=settings.block,
            output=settings.output, space=self.grid,  # type: ignore[arg-type]
        )  # fmt: skip
        self.single = HJSMA(
            theta=settings.theta, max_distortion=HARDNESS_LEVELS[-1], space=self.grid,
            output=settings.output,  # type: ignore[arg-type]
        )  # fmt: skip

    @cached_property
    def machines(self) -> dict[str, nn.Module]:
        """The two sides; the engine is made when all else has been checked."""
        return {"float": self.network.module, "engine": Engine(self.network.program)}

    @property
    def name(self) -> str:
        """The folder of the run."""
        chosen, config = self.settings, self.network.program.config
        parts = ["jsma-study", self.network.name, config.name, chosen.output]
        parts += [f"{config.act_w}bit"] if config.act_w != 8 else []
        parts += [f"theta{chosen.theta:g}"] if chosen.theta != 1.0 else []
        parts += [f"block{chosen.block}"] if chosen.block != 1 else []
        return "".join(c if c.isalnum() or c in "._-" else "-" for c in "-".join(parts))

    @cached_property
    def key(self) -> str:
        """Digest of everything that the counts depend on."""
        chosen = {k: v for k, v in asdict(self.settings).items() if k not in ("command", "model")}
        facts = [chosen, BATCH, self.test.digest, fingerprint(self.network.program), versions()]
        return digest(facts)

    # ---------------------------------------------------------------- counting

    def count(
        self, partial: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> _State:
        """All counts of both machines; ``partial`` keeps finished batches for another run.

        on_progress(searched images, images in all), each image once on either machine.
        """
        state, size = self._resumed(partial), len(self.inputs)
        total = size * len(self.machines)
        for position, (name, model) in enumerate(self.machines.items()):
            mine = state.setdefault(name, {"done": 0, "correct": 0, "pairs": None, "flipped": []})
            on_progress(position * size + mine["done"], total)
            while mine["done"] < size:
                self._one_batch(model, mine)
                keep(partial, self.key, {"state": state})
                on_progress(position * size + mine["done"], total)
        return state

    def _one_batch(self, model: nn.Module, mine: dict[str, Any]) -> None:
        rows = slice(mine["done"], mine["done"] + BATCH)
        x, labels = self.grid.snap(self.inputs[rows]), self.labels[rows]
        counts = next(class_pairs(self.attack, model, x, labels, batch_size=BATCH))
        if mine["pairs"] is not None:
            counts = ClassPairs.from_dict(mine["pairs"]) + counts
        own = judge(model, x).argmax(1)
        # Algorithm 1: from the model's own answer, one element more until it flips.
        search = self.single.search(model, x, Untargeted(own))
        search.images(math.inf)
        elements = torch.where(search.ending == REACHED, search.changed, -1).tolist()
        mine["pairs"] = counts.as_dict()
        mine["flipped"] = [*mine["flipped"], *elements]
        mine["correct"] += int((own == labels).sum())
        mine["done"] += len(x)

    def _resumed(self, partial: Path) -> _State:
        """The state of an earlier run with the same key; empty unless it can be gone on with."""
        try:
            data = kept(partial, self.key)
            if data is None:
                return {}
            state: _State = {}
            for name in self.machines:
                if name not in data["state"]:
                    break
                mine = data["state"][name]
                done, flipped = int(mine["done"]), [int(n) for n in mine["flipped"]]
                whole = done == len(self.inputs) or done % BATCH == 0
                if not (0 < done <= len(self.inputs) and whole and len(flipped) == done):
                    return {}
                pairs = ClassPairs.from_dict(mine["pairs"]).as_dict()
                correct = int(mine["correct"])
                state[name] = {"done": done, "correct": correct, "pairs": pairs, "flipped": flipped}
            return state
        except InputError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}  # nothing usable is kept: start anew

    # ---------------------------------------------------------------- the result

    def result(self, state: _State) -> dict[str, Any]:
        """Plain values: what result.json holds. Shares are fractions; NaN becomes null."""
        chosen, config = self.settings, self.network.program.config
        return {
            "study": "jsma",
            "model": chosen.model,
            "config": config.name,
            "bits": config.act_w,
            "samples": len(self.inputs),
            "theta": chosen.theta,
            "output": chosen.output,
            "block": chosen.block,
            "classes": self.names,
            "machines": {name: self._machine(mine) for name, mine in state.items()},
            "published": PUBLISHED,
            "dataset": self.test.about,
            "versions": versions(),
            "command": chosen.command,
            "seconds": time.perf_counter() - self.began,
        }

    def _machine(self, mine: Mapping[str, Any]) -> dict[str, Any]:
        pairs = ClassPairs.from_dict(mine["pairs"])
        headline = pairs.levels.index(HEADLINE)
        success, distortion = pairs.overall(headline)
        elements = sorted(
            {*range(2, 21, 2), *range(25, int(HARDNESS_LEVELS[-1] * pairs.values), 5)}
        )
        flipped = np.array(mine["flipped"])
        return {
            "clean": mine["correct"] / mine["done"],
            "searches": int(pairs.tries.sum()),
            "success": success,
            "distortion": distortion,
            "levels": list(pairs.levels),
            "success_by_level": [pairs.overall(k)[0] for k in range(len(pairs.levels))],
            "success_by_pair": pairs.rate(headline),
            "distortion_by_pair": pairs.distortion(headline),
            "hardness": pairs.hardness(),
            "distance": pairs.distance(),
            "hjsma_elements": elements,
            "hjsma_success": [float(np.mean((flipped >= 0) & (flipped <= i))) for i in elements],
            "counts": pairs.as_dict(),
        }
