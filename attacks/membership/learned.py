"""Attackers that learn from samples whose membership they know: BMIA, WMIA, and both as MMIA.

An attacker learns on some of his samples, chooses his epoch and his threshold on the others of them
by AUC and balanced accuracy, and has never seen those that he will be judged on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.attacks.core.checks import check_count, check_number
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.inference import at_inference
from hwsim.attacks.evaluate.roc import Scores, auc
from hwsim.attacks.membership.judged import best_threshold
from hwsim.attacks.membership.networks import Attacker, BlackBox, WhiteBox
from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.splits import even_order

Kind = Literal["bmia", "wmia", "mmia"]
#: Weights of each network by its kind, for the next fit to begin with.
State = Mapping[str, Mapping[str, Tensor]]

_NETWORKS: dict[str, type[Attacker]] = {"bmia": BlackBox, "wmia": WhiteBox}
#: Of an attacker's samples, by which epoch and threshold are chosen: 10 of 50%.
HELD_OUT = 0.2
#: Of the squared weights of standardized scores, so that they stay finite where they tell all.
RIDGE = 1e-3
BATCH = 64
_ASKED = 2048


@dataclass(frozen=True, eq=False)
class Fitted:
    """An attacker who has learnt.

    networks: by kind, in eval mode; two of mmia. weights: of each one's log-odds in ``score``.
    epochs: chosen of each, from 1; 0 is a warm start that no epoch bettered. threshold: of
    ``score``, chosen on samples held out. held_out: the AUC there, too kind by the choice: it
    steers and is not reported.
    """

    networks: Mapping[Kind, Attacker]
    weights: Mapping[Kind, float]
    epochs: Mapping[Kind, int]
    threshold: float
    held_out: float

    @property
    def epoch(self) -> int:
        """The latest of the chosen epochs."""
        return max(self.epochs.values())

    @property
    def state(self) -> State:
        """Weights for the next ``fit`` to begin with."""
        return {kind: network.state_dict() for kind, network in self.networks.items()}

    def score(self, records: Records) -> Scores:
        """(N,) log-odds of membership; of mmia the weighed sum of both."""
        return _sum(self.networks, self.weights, records)

    def accuracy(self, members: Records, others: Records) -> float:
        """Balanced accuracy at the threshold."""
        kept = float((self.score(members) > self.threshold).mean())
        return (kept + float((self.score(others) <= self.threshold).mean())) / 2


def _sum(
    networks: Mapping[Kind, Attacker], weights: Mapping[Kind, float], records: Records
) -> Scores:
    found = np.zeros(len(records))
    for kind, network in networks.items():
        found += weights[kind] * _scores(network, records)
    return found


def _joined(fitted: Mapping[Kind, Fitted], kept: Sequence[Records]) -> Fitted:
    networks = {kind: one.networks[kind] for kind, one in fitted.items()}
    weights = _weights(networks, kept)
    return _fitted(networks, weights, {k: one.epoch for k, one in fitted.items()}, kept)


def _fitted(
    networks: Mapping[Kind, Attacker],
    weights: Mapping[Kind, float],
    epochs: Mapping[Kind, int],
    kept: Sequence[Records],
) -> Fitted:
    scores = [_sum(networks, weights, one) for one in kept]
    area = auc(*scores).value
    assert area is not None
    return Fitted(networks, weights, epochs, best_threshold(*scores), area)


def _weights(networks: Mapping[Kind, Attacker], kept: Sequence[Records]) -> dict[Kind, float]:
    """Of two networks' log-odds, by logistic regression on the samples held out.

    One that has learnt nothing gets next to nothing, however loud it is or however quiet. None is
    turned around: where neither gains anything, the one with the larger AUC counts alone.
    """
    scores = {kind: [_scores(network, one) for one in kept] for kind, network in networks.items()}
    columns = np.stack([np.concatenate(both) for both in scores.values()], 1)
    spread = np.maximum(columns.std(0), 1e-12)
    seen = torch.from_numpy((columns - columns.mean(0)) / spread)
    truth = torch.cat([torch.ones(len(kept[0])), torch.zeros(len(kept[1]))]).double()
    slopes = torch.zeros(len(networks), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slopes, bias], max_iter=100, line_search_fn="strong_wolfe")

    def wrong() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(seen @ slopes + bias, truth)
        loss = loss + RIDGE * slopes.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(wrong)
    found = np.maximum(slopes.detach().numpy(), 0.0) / spread
    if not found.any():
        areas = [auc(*both).value or 0.0 for both in scores.values()]
        found[int(np.argmax(areas))] = 1.0
    return dict(zip(networks, found.tolist(), strict=True))


def _scores(network: Attacker, records: Records) -> Scores:
    found = []
    with at_inference(network), torch.no_grad():
        for part in torch.arange(len(records)).split(_ASKED):
            found.append(network(records.at(part)).double())
    return np.asarray(torch.cat(found).numpy(), np.float64)


@dataclass(frozen=True)
class LearnedAttack:
    """An attacker before he has learnt.

    kind: ``bmia`` sees outputs and the class, ``wmia`` also loss and gradient, ``mmia`` is both.
    epochs: passes over his samples, of which one is chosen. rate: of Adam. batch: samples a step.
    seed: of weights, order, dropout and of which samples are held out.
    """

    kind: Kind
    epochs: int = 50
    seed: int = 0
    rate: float = 1e-3
    batch: int = BATCH

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise AttackError(
                f"unknown attacker {self.kind!r}: choose from {', '.join(get_args(Kind))}"
            )
        check_count(self.epochs, "epochs")
        check_count(self.batch, "batch")
        check_count(self.seed, "seed", 0)
        check_number(self.rate, "rate", 0.0)

    @property
    def parts(self) -> tuple[Kind, ...]:
        """The networks that it takes."""
        return ("bmia", "wmia") if self.kind == "mmia" else (self.kind,)

    def fit(self, members: Records, others: Records, warm: State | None = None) -> Fitted:
        """Learns from known members and known others.

        Parameters
        ----------
        members, others : Records
            5 of each at least; the same was seen of both.
        warm : State, optional
            Of an earlier ``Fitted`` of this kind: learning goes on there, with fewer epochs.

        Raises
        ------
        AttackError
            For too few samples, a wmia that sees no gradients, a warm start of another shape.
        """
        if min(len(members), len(others)) < 5:
            raise AttackError("an attacker needs 5 members and 5 others at least to learn from")
        generator = torch.Generator().manual_seed(self.seed)
        learn, kept = zip(*(_parted(one, generator) for one in (members, others)), strict=True)
        taught = learn[0].behind(learn[1])
        truth = torch.cat([torch.ones(len(learn[0])), torch.zeros(len(learn[1]))])
        alone: dict[Kind, Fitted] = {}
        for place, kind in enumerate(self.parts):
            # torch's own stream is put back: dropout draws from it.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1_000_003 * self.seed + place)
                network = _NETWORKS[kind](taught)
                if warm is not None:
                    _restore(network, warm, kind)
                network.standardize(taught)
                epoch = self._learn(network, taught, truth, kept, warm is not None)
            alone[kind] = _fitted({kind: network}, {kind: 1.0}, {kind: epoch}, kept)
        return alone[self.kind] if self.kind in alone else _joined(alone, kept)

    def join(self, fitted: Mapping[Kind, Fitted], members: Records, others: Records) -> Fitted:
        """An mmia of a bmia and a wmia that learnt by this attack's seed from these samples."""
        generator = torch.Generator().manual_seed(self.seed)
        return _joined(fitted, [_parted(one, generator)[1] for one in (members, others)])

    def _learn(
        self,
        network: Attacker,
        taught: Records,
        truth: Tensor,
        kept: Sequence[Records],
        warm: bool,
    ) -> int:
        """Leaves the weights of the best epoch in the network, in eval mode; returns the epoch."""
        optimizer = torch.optim.Adam(network.parameters(), self.rate, fused=True)
        best, chosen = -1.0, 0
        weights: dict[str, Tensor] = {}
        for epoch in range(0 if warm else 1, self.epochs + 1):
            if epoch:
                network.train()
                for part in torch.randperm(len(taught)).split(self.batch):
                    if len(part) < 2:  # a batch norm has no variance of one sample
                        continue
                    wrong = F.binary_cross_entropy_with_logits(
                        network(taught.at(part)), truth[part]
                    )
                    optimizer.zero_grad()
                    wrong.backward()
                    optimizer.step()
            area = auc(*(_scores(network.eval(), one) for one in kept)).value
            assert area is not None
            if area > best:
                best, chosen = area, epoch
                weights = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(weights)
        network.eval()
        return chosen


def _parted(records: Records, generator: torch.Generator) -> tuple[Records, Records]:
    """What is learnt from, and what is held out."""
    order = even_order(records.labels, generator)
    border = len(records) - max(1, round(HELD_OUT * len(records)))
    return records.at(order[:border]), records.at(order[border:])


def _restore(network: nn.Module, warm: State, kind: str) -> None:
    try:
        network.load_state_dict(dict(warm[kind]))
    except (KeyError, RuntimeError):
        raise AttackError(
            "the warm start is of another attacker, or of a target of another shape"
        ) from None
