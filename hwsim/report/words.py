"""Words for the numbers of a result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwsim.report import budgets

if TYPE_CHECKING:
    pass
from hwsim.report.schema import PAIRS

#: Above this share of images without any gradient, the success of an attack says little.
ZERO_GRADIENT_NOTABLE = 0.01


def pair_label(pair: str) -> str:
    """``float → engine`` for ``float_engine``."""
    return " → ".join(PAIRS[pair])


def judged_on(result: Mapping[str, Any], pair: str) -> int:
    """Denominator of a success: the inputs that the judge of the pair classifies correctly."""
    return int(result["denominator"]["float" if PAIRS[pair][1] == "float" else "fixed"])


def percent(share: float | None, digits: int = 1) -> str:
    """``63.2%``; a dash for a share that does not exist, never a rounded-away exception.

    A share that is not exactly 0 or 1 is not shown as 0% or 100%.
    """
    if share is None or math.isnan(share):
        return "–"
    text = f"{100 * share:.{digits}f}%"
    smallest = f"{10.0**-digits:.{digits}f}"
    if share > 0 and float(text[:-1]) == 0:
        return f"<{smallest}%"
    if share < 1 and float(text[:-1]) == 100:
        return f">{100 - 10.0**-digits:.{digits}f}%"
    return text


def goal(result: Mapping[str, Any]) -> str:
    """What counts as a success, in words."""
    targeted = result.get("targeted")
    if not targeted:
        return "the judge answers anything but the label"
    aim = "the target class" if isinstance(targeted, bool) else f"the target class ({targeted})"
    return f"the judge answers {aim}"


def attacked_through(result: Mapping[str, Any]) -> str:
    """What the attacker differentiates, in words."""
    if result.get("gradient", "ste") is None:
        return "no gradients, answers only"
    how = f"{result.get('gradient', 'ste')} gradients"
    loss = result.get("loss", "cross-entropy")
    if loss is None:
        return f"{how} of the logits"
    what = f"{result['probabilities']} softmax" if loss == "cross-entropy" else f"{loss} loss"
    at = result.get("temperature")
    return f"{how}, {what}" + (f" at temperature {at}" if at else "")


def effort(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, numbers) of the distortion and the passes at the last budget, on the engine."""
    found = []
    means = (result.get("distortion") or {}).get("engine")
    last = len(result["epsilons"]) - 1
    if means and means[last]:
        m = means[last]
        found.append(
            (
                "mean change",
                f"L0 {m['l0']:.4g}, L1 {m['l1']:.3g}, L2 {m['l2']:.3g}, L∞ {m['linf']:.3g} over "
                f"successes at {budgets.phrase(result, last)}, engine",
            )
        )
    passes = (result.get("passes") or {}).get("engine")
    if passes:
        forward, backward = passes["forward"][last], passes["backward"][last]
        found.append(
            ("model runs", f"{forward:,.4g} forward, {backward:,.4g} backward per image, engine")
        )
    return found


def judged_by(result: Mapping[str, Any]) -> str:
    """Who answered in the engine's name, and what vouches for it."""
    if result.get("backend", "python") != "rtl":
        return "the bit-accurate Python model"
    done = result["judged"]
    return (
        f"the Verilog in Verilator: {done['images']:,} distinct images, {done['equal']:,} of "
        f"{done['logits']:,} logits equal to the Python twin's"
    )


def duration(microseconds: float) -> str:
    """Microseconds in the unit that reads best."""
    for limit, unit, scale in ((1e3, "µs", 1.0), (1e6, "ms", 1e3)):
        if microseconds < limit:
            return f"{microseconds / scale:.3g} {unit}"
    return f"{microseconds / 1e6:.3g} s"


def energy(nanojoules: float) -> str:
    """Nanojoules in the unit that reads best."""
    for limit, unit, scale in ((1e3, "nJ", 1.0), (1e6, "µJ", 1e3)):
        if nanojoules < limit:
            return f"{nanojoules / scale:.3g} {unit}"
    return f"{nanojoules / 1e6:.3g} mJ"


def memory(bits: int) -> str:
    """Bits as KiB, or MiB from 1024 KiB up."""
    kib = bits / 8192
    return f"{kib:,.1f} KiB" if kib < 1024 else f"{kib / 1024:,.2f} MiB"


def memory_rows(result: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(name, what it stores, size, size relative to dense) of the three ways to keep weights."""
    bits = result["memory_bits"]
    meaning = {
        "dense": ("dense", "every weight, no sharing"),
        "index_sram": ("index SRAM", "shared weights and a stored index for each virtual one"),
        "hash": ("hash", "shared weights only; indices are computed"),
    }
    return [
        (name, what, memory(bits[key]), f"{bits[key] / bits['dense']:.3g}×")
        for key, (name, what) in meaning.items()
    ]


def headline(result: Mapping[str, Any]) -> str:
    """The finding in one or two sentences, for a reader who has seen nothing else.

    It takes the epsilon at which the float network falls nearest to half of the time: near 0 or
    100% every machine looks alike.
    """
    floats, engines = result["success"]["float_float"], result["success"]["engine_engine"]
    usable = [i for i, (f, e) in enumerate(zip(floats, engines, strict=True)) if None not in (f, e)]
    if not usable:
        return "No input was classified correctly, so there is nothing to attack."
    at = min(usable, key=lambda i: abs(floats[i] - 0.5))
    does = (
        "makes the float network answer its target"
        if result.get("targeted")
        else ("fools the float network")
    )
    text = (
        f"At {budgets.phrase(result, at)} the attack {does} on "
        f"{percent(floats[at])} of the images that it gets right, and the fixed-point engine, "
        f"attacked through its own arithmetic, on {percent(engines[at])}."
    )
    spans = result.get("interval") or {}
    if "float_float" in spans and "engine_engine" in spans:
        a, b = spans["float_float"][at], spans["engine_engine"][at]
        if a and b:
            overlap = a[0] <= b[1] and b[0] <= a[1]
            text += (
                " The 95% intervals overlap: this run shows no difference between the two."
                if overlap
                else " The 95% intervals do not overlap."
            )
    return text


def cautions(result: Mapping[str, Any]) -> list[str]:
    """Reasons not to take the numbers at face value; empty when none is known."""
    found = []
    note = result["dataset"].get("note")
    if note:
        found.append(f"Data: {note}")
    for who in ("engine", "float"):
        share = result["zero_gradient"][who]
        if share is not None and share > ZERO_GRADIENT_NOTABLE:
            found.append(
                f"{percent(share)} of the images have an exactly zero gradient on the {who}: the "
                "attack cannot move them. Low success there is not robustness."
            )
    for other, own in (("float_engine", "engine_engine"), ("engine_float", "float_float")):
        spans = result.get("interval") or {}
        if where := _beaten(result, spans.get(other, ()), spans.get(own, ())):
            found.append(
                f"At {where} {pair_label(other)} beats {pair_label(own)}: a "
                "borrowed gradient works better than the model's own, a sign of masked gradients."
            )
    for pair, spans in ((result.get("adaptive") or {}).get("interval") or {}).items():
        own_spans = (result.get("interval") or {}).get(pair, ())
        if where := _beaten(result, spans, own_spans):
            found.append(
                f"At {where} the same attack on the margin loss beats {pair_label(pair)}: the "
                "cross-entropy's gradient hides what the network would do."
            )
    return found


def _beaten(result: Mapping[str, Any], better: Sequence[Any], worse: Sequence[Any]) -> str:
    """Where the intervals of ``better`` lie above those of ``worse``, in words."""
    where = [
        budgets.phrase(result, i)
        for i, (a, b) in enumerate(zip(better, worse, strict=False))
        if a and b and a[0] > b[1]
    ]
    return ", ".join([*where[:1], *(text.removeprefix("ε = ") for text in where[1:])])
