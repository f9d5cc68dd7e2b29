"""A network made small and, perhaps, safe: every method and every control by one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwsim.defenses.float_layers import layers_of, weights_of
from hwsim.errors import InputError
from hwsim.models import layers
from hwsim.models.allocation import allocation
from hwsim.models.checkpoint import content_digest
from hwsim.models.copying import copied
from hwsim.models.loop import accuracy
from hwsim.training.sparse import masks as masking
from hwsim.training.sparse.batches import Batches, seed_of
from hwsim.training.sparse.densities import check_density, erk
from hwsim.training.sparse.keeping import Keeper
from hwsim.training.sparse.learner import Learner
from hwsim.training.sparse.loop import OnStep, Parts, run, silent
from hwsim.training.sparse.masks import Masks
from hwsim.training.sparse.opponents import Opponents
from hwsim.training.sparse.settings import Settings, SparseMethod, method_of
from hwsim.training.sparse.sides import TargetData
from hwsim.training.sparse.tester import AttackTester, Tester
from hwsim.training.sparse.updates import update_of


@dataclass(frozen=True, eq=False)
class Compressed:
    """module: in eval mode; weights that were left out are exactly 0. facts: JSON values that say
    how it was made and how large it is, see ``compress``.
    """

    module: nn.Module
    facts: dict[str, Any]


def compress(
    method: str,
    network: nn.Module,
    data: TargetData,
    settings: Settings | None = None,
    *,
    density: float = 0.1,
    seed: int = 0,
    state: Path | None = None,
    tester: Tester | None = None,
    on_step: OnStep = silent,
) -> Compressed:
    """Train ``network`` from its present weights by one method.

    Parameters
    ----------
    method : str
        ``bmia``, ``wmia`` or ``mmia``: SafeCompress, by who tests. ``random``: a random choice
        among its candidates. ``untested``: its first candidate, which is what the public code does.
        ``hash-bmia``, ``hash-wmia``, ``hash-mmia``, ``hash-random``: the same with words of hashed
        layers, moved between layers, in the place of masks. ``hash``: hashed at one rate.
        ``dense``. ``early``: dense, stopped at ``settings.stop_at``. ``one-shot``: dense for half
        of the steps, then its largest weights. ``iterative``: pruned gradually (Zhu and Gupta
        2017). ``regularized``: ``untested`` with the term of adversarial regularization (Nasr et
        al. 2018). All take the same steps with the same batches.
    network : torch.nn.Module
        (N, …) -> (N, C) logits, plain layers, untrained; a copy is trained.
    data : TargetData
        Of ``hwsim.training.sparse.sides.split``; ``data.judge`` is never looked at.
    settings : Settings, optional
        Epochs, candidates, attackers.
    density : float
        Share of the weights of all layers that is left, in (0, 1]; biases and batch norms stay.
        ``dense`` and ``early`` leave all.
    seed : int
        Of masks, candidates and attackers; batches are those of ``settings.recipe.seed``.
    state : Path, optional
        A file that keeps every finished epoch. The same call goes on from it, and ends in the same
        weights as if it had not been interrupted.
    tester : Tester, optional
        In the place of the method's own attacker.
    on_step : callable
        (epoch, step, loss, what) after every batch, and after every candidate, where ``what`` says
        which.

    Returns
    -------
    Compressed
        facts: ``method``, ``density`` asked for and ``reached``, ``weights`` (left, in all),
        ``nonzero`` (of those left, which include weights that grew and learnt nothing yet),
        ``layers`` (left by layer), ``epochs`` done, ``stopped`` early or not, ``updates``, an entry
        for each: ``progress`` in steps, the ``chosen`` candidate and, where candidates were tested,
        ``candidates`` with ``task`` and ``attack`` accuracy and TM-``score``.

    Raises
    ------
    InputError
        For an unknown method, a density outside (0, 1], a network without layers, and a state file
        that is damaged or of another call.
    """
    settings = settings or Settings()
    known = method_of(method, settings)
    check_density(density)
    with torch.random.fork_rng(devices=[]):
        batches = Batches(data.learn, settings.recipe)
        learner = _beginning(network, known, density, settings, seed)
        update, due = update_of(known, settings, batches, density, seed)
        if tester is None:
            tester = _tester(known, data, settings, seed)
        parts = Parts(
            known, settings, batches, update, due, seed, tester,
            _opponents(known, data, settings, seed), _stops(known, data, settings), on_step,
        )  # fmt: skip
        asked = {
            "method": method, "density": density, "seed": seed, "settings": settings.facts(),
            "data": data.digest(), "network": content_digest(network.state_dict(), {}),
        }  # fmt: skip
        keeper = Keeper(state, asked, settings.recipe.epochs) if state is not None else None
        learner, done = run(learner, parts, keeper)
    module = learner.module.eval()
    facts: dict[str, Any] = {"method": method, "density": density, **_size(learner, network)}
    facts |= {"epochs": done.epoch, "stopped": done.stopped, "updates": done.history}
    return Compressed(module, facts)


def _beginning(
    network: nn.Module, method: SparseMethod, density: float, settings: Settings, seed: int
) -> Learner:
    names = [name for name, _ in layers_of(network)]
    if not names:
        raise InputError(f"{type(network).__name__} has no Linear or Conv2d layer to compress")
    if method.starts == "hashed":
        return Learner(layers.compress(network, density, seed=seed % 2**32), {}, settings.recipe)
    weights = dict(zip(names, weights_of(network, names), strict=True))
    shapes = {name: weight.shape for name, weight in weights.items()}
    masks: Masks = {}
    twin = copied(network)
    if method.starts == "masks":
        masks = masking.drawn(shapes, erk(shapes, density), seed_of(seed, 7))
        _widen(dict(zip(names, weights_of(twin, names), strict=True)), masks)
    elif method.updates != "none":
        masks = {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    return Learner(twin, masks, settings.recipe)


def _widen(weights: Mapping[str, nn.Parameter], masks: Masks) -> None:
    """Begin with weights that suit the fan-in that is left: √(1 / density of the layer) as large.

    Otherwise the signal fades from layer to layer where no batch norm lifts it (Evci et al.,
    "Gradient flow in sparse neural networks and how lottery tickets win", AAAI 2022).
    """
    with torch.no_grad():
        for name, weight in weights.items():
            weight.mul_((weight.numel() / int(masks[name].sum())) ** 0.5)


def _stops(
    method: SparseMethod, data: TargetData, settings: Settings
) -> Callable[[Learner], bool] | None:
    others, enough = data.tester.others, settings.stop_at
    if not method.stops or enough is None:
        return None
    return lambda learner: accuracy(learner.module, others.images, others.labels) >= enough


def _size(learner: Learner, network: nn.Module) -> dict[str, Any]:
    """Weights that are left: words where they are hashed, living ones where there are masks."""
    module, words = learner.module, allocation(learner.module)
    names = [name for name, _ in layers_of(module)]
    weights = dict(zip(names, weights_of(module, names), strict=True))
    living = words | {name: int(mask.sum()) for name, mask in learner.masks.items()}
    left = {name: living.get(name, weight.numel()) for name, weight in weights.items()}
    whole = sum(weight.numel() for weight in weights_of(network, names))
    total = sum(left.values())
    nonzero = sum(int(torch.count_nonzero(weight)) for weight in weights.values())
    return {
        "reached": total / whole, "weights": [total, whole], "nonzero": nonzero, "layers": left,
    }  # fmt: skip


def _tester(method: SparseMethod, data: TargetData, settings: Settings, seed: int) -> Tester | None:
    if method.choice == "first" or method.choice == "random":
        return None
    return AttackTester(method.choice, data.tester, settings, seed)


def _opponents(
    method: SparseMethod, data: TargetData, settings: Settings, seed: int
) -> Opponents | None:
    if method.opponent is None:
        return None
    against = settings.regularization if method.opponent == "bmia" else settings.strength
    return Opponents(method.opponent, data.tester, settings, seed, against)
