"""Attacks that look at one number of an answer: loss, confidence, entropy, right or wrong.

Each is a score, higher for members; a threshold is all that is learnt. Yeom et al. 2018 (loss,
gap), Salem et al. 2019 (confidence, entropy), Song and Mittal 2021 (modified entropy).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.evaluate.roc import Scores
from hwsim.attacks.membership.judged import best_threshold
from hwsim.attacks.membership.records import LEAST, Records

Score = Callable[[Records], Scores]


def _numbers(values: Tensor) -> Scores:
    return np.asarray(values.detach().double().numpy(), np.float64)


def loss(records: Records) -> Scores:
    """Minus the cross-entropy, −ln(1 + e^−φ) of the log-odds φ of the true class."""
    if records.outputs is None and records.losses is not None:
        return _numbers(-records.losses)
    return _numbers(-torch.nn.functional.softplus(-records.log_odds()))


def confidence(records: Records) -> Scores:
    """The largest probability, as log-odds, which order alike and do not saturate at 1."""
    return _numbers(records.log_odds(records.answers))


def entropy(records: Records) -> Scores:
    """Σ p ln p: minus the entropy of the answer, whatever the true class."""
    logs = records.log_probabilities()
    return _numbers((logs.exp() * logs).sum(1))


def modified_entropy(records: Records) -> Scores:
    """(1 − p_y) ln p_y + Σ_{k≠y} p_k ln(1 − p_k): low entropy on the wrong class counts against."""
    logs = records.log_probabilities()
    place = records.labels[:, None]
    # ln(1 − p) through expm1, which keeps what 1 − p would lose.
    least = LEAST if records.outputs_are == "probabilities" else 1e-300
    rest = (-torch.expm1(logs.clamp(max=-1e-300))).clamp(min=least)
    others = (logs.exp() * rest.log()).scatter(1, place, 0.0).sum(1)
    return _numbers((rest * logs).gather(1, place)[:, 0] + others)


def gap(records: Records) -> Scores:
    """1 of a right answer, 0 of a wrong one: what the generalization gap alone gives away."""
    return _numbers(records.correct)


@dataclass(frozen=True)
class ScoreAttack:
    """A score with the threshold that parts known members from known others best."""

    score: Score
    threshold: float = 0.0

    @staticmethod
    def fit(score: Score, members: Records, others: Records) -> ScoreAttack:
        """Chooses the threshold; the samples are not those that will be judged."""
        return ScoreAttack(score, best_threshold(score(members), score(others)))
