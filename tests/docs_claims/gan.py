"""docs/conclusions.md, the GAN's samples: what the study gan says."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.studies.papers import gan
from hwsim.studies.papers.gan_verdicts import CHANGED, SUCCESS
from tests.docs_claims.rendered import study, tables

COLUMNS = {"success": "JSMA", "changed": "changed", "accuracy": "accuracy"}


def _mean(training: str, column: str, machine: str = "float") -> str:
    where = {"trained_on": training, "machine": machine}
    return study("gan", **where)[COLUMNS[column]].split()[0]


def _pair(training: str) -> str:
    return f"{_mean(training, 'success')}%, by {_mean(training, 'changed')}% of the values"


def claims() -> Iterator[str]:
    """Every number of the section, where it stands."""
    yield f"within {100 * gan.DISTORTION:g}% of the values"
    yield f"undefended JSMA reaches its target on {_pair('real')}"
    yield f"near the published {100 * SUCCESS:.2f}% and {100 * CHANGED:.2f}%"
    yield f"with the GAN's digits among the training images on {_pair('real + GAN')}"
    yield f"with as many real ones instead on {_pair('2 × real')}"
    yield f"Adversarial training leaves it {_pair('JSMA')}"
    yield f"and with the GAN's digits attacked as well {_pair('JSMA + GAN')}"
    plain, made, more = (_mean(t, "accuracy") for t in ("real", "real + GAN", "2 × real"))
    yield f"The GAN's digits take accuracy from {plain} to {made}%, the real ones to {more}%"
    hard, both = _mean("JSMA", "accuracy"), _mean("JSMA + GAN", "accuracy")
    yield f"adversarial training to {hard}%, with both {both}%"
    rows = tables("gan")[0]
    least = min(float(row["adapt."].split()[0]) for row in rows)
    yield f"reaches at least {least:.1f}% of the targets, whatever the training"
