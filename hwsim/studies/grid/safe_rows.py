"""Rows about membership: a network compressed by one method, and what attackers infer of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import nn

from hwsim.attacks.membership.judged import MembershipRates, judge
from hwsim.attacks.membership.learned import Fitted, Kind, LearnedAttack, State
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import observe
from hwsim.attacks.membership.thresholds import ScoreAttack, loss
from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.networks.open import CALIBRATION_IMAGES
from hwsim.numbers.config import load_config
from hwsim.runs.membership.views import engine_records, float_records
from hwsim.studies.runner.targets import TrainedTarget
from hwsim.studies.runner.task import Row, version
from hwsim.training.sparse.compress import compress
from hwsim.training.sparse.settings import Settings
from hwsim.training.sparse.sides import Labelled, TargetData

#: Networks that attack, each learning once: mmia joins them.
KINDS: tuple[Kind, ...] = ("bmia", "wmia")
#: Test images that the engine answers.
TESTED = 2000
#: Samples of a step of an attacker's.
BATCH = 256


@version(1)
def compressed(
    trained: Mapping[str, Any],
    method: str,
    density: float,
    bits: Sequence[int],
    config: str,
    attack_epochs: Sequence[int],
    settings: Mapping[str, Any],
) -> Row:
    """Train, compress, and attack what comes out, in float and on engines.

    trained: fields of ``TrainedTarget``. method, density: as of ``compress``. bits: widths of
    engines. attack_epochs: of the judge's attackers in float, and of those on an engine, who go on
    from there. settings: of the compression, beside the recipe.
    Attackers learn from the first half of the judge's members and others, of which a fifth chooses
    epoch and threshold, and are judged on the second halves.

    The row: weights {left, all}, chosen (the candidate of each update), and by machine, ``float``
    or a width: task and members, {right, asked} of test images and of the judge's members, others
    the same of its others, and by attacker {right, asked, auc, auc_low, auc_high, tpr1, tpr01};
    a tpr is {right, asked}, None where it cannot be measured.
    """
    one = TrainedTarget(**trained)
    sides, tested = one.sides(), one.tested()
    first, later = settings["attack_epochs"]
    numbers = {**settings, "attack_epochs": (first, later), "recipe": one.recipe}
    made = compress(
        method, one.network(), sides, Settings(**numbers), density=density, seed=one.seed
    )
    facts = made.facts
    machines: dict[str, Any] = {}
    warm: dict[Kind, State] = {}
    for width in (None, *bits):
        machine = "float" if width is None else f"{width}-bit"
        module = made.module if width is None else _engine(made.module, sides, config, width)
        epochs = attack_epochs[width is not None]
        machines[machine] = _machine(module, sides, tested, epochs, one.seed, warm)
    return {
        "weights": {"left": facts["weights"][0], "all": facts["weights"][1]},
        "epochs": facts["epochs"],
        "chosen": [update["chosen"] for update in facts["updates"]],
        "machines": machines,
    }


def _engine(module: nn.Module, sides: TargetData, config: str, width: int) -> Engine:
    calibration = sides.learn.images[:: max(1, len(sides.learn) // CALIBRATION_IMAGES)]
    return Engine(compile(module, calibration, load_config(config).with_bits(width)))


def _machine(
    module: nn.Module,
    sides: TargetData,
    tested: Labelled,
    epochs: int,
    seed: int,
    warm: dict[Kind, State],
) -> Row:
    if isinstance(module, Engine):
        step = max(1, len(tested) // TESTED)
        tested = tested.at(slice(None, None, step))
    seen = [_seen(module, side) for side in (sides.judge.members, sides.judge.others)]
    half = len(seen[0]) // 2
    first, second = torch.arange(half), torch.arange(half, len(seen[0]))
    known, asked = ([side.at(part) for side in seen] for part in (first, second))
    found: Row = {
        "task": _share(_right(module, tested)),
        "members": _share(seen[0].correct), "others": _share(seen[1].correct),
    }  # fmt: skip
    attacks = {kind: LearnedAttack(kind, epochs, seed, batch=BATCH) for kind in get_args(Kind)}
    learned = {kind: attacks[kind].fit(known[0], known[1], warm.get(kind)) for kind in KINDS}
    warm |= {kind: fitted.state for kind, fitted in learned.items()}
    attackers: dict[str, Fitted | ScoreAttack] = {
        **{str(kind): fitted for kind, fitted in learned.items()},
        "mmia": attacks["mmia"].join(learned, *known),
        "loss": ScoreAttack.fit(loss, *known),
    }  # fmt: skip
    for name, attacker in attackers.items():
        members, others = (attacker.score(side) for side in asked)
        found[name] = _facts(judge(members, others, attacker.threshold))
    return found


def _seen(module: nn.Module, side: Labelled) -> Records:
    if isinstance(module, Engine):
        return engine_records(module, side.images, side.labels, white=True)
    return float_records(module, side.images, side.labels, white=True)


def _right(module: nn.Module, side: Labelled) -> torch.Tensor:
    if isinstance(module, Engine):
        answers = [module.integer_logits(x).argmax(1) for x in side.images.split(500)]
        return torch.cat(answers) == side.labels
    return observe(module, side.images, side.labels, "class").correct


def _share(right: torch.Tensor) -> dict[str, int]:
    return {"right": int(right.sum()), "asked": len(right)}


def _facts(found: MembershipRates) -> Row:
    low, high = found.auc.interval or (None, None)
    return {
        "right": found.balanced.successes, "asked": found.balanced.total, "auc": found.auc.value,
        "auc_low": low, "auc_high": high,
        **{
            name: None if rate is None else {"right": rate.successes, "asked": rate.total}
            for name, rate in (("tpr1", found.tpr1), ("tpr01", found.tpr01))
        },
    }  # fmt: skip
