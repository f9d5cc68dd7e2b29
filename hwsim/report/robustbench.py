"""A result in the keys of RobustBench's model_info files (Croce et al. 2021), where they are true.

An entry is what ``model_info/DATASET/THREAT/NAME.json`` holds there, for one machine at one budget:

    dataset, threat_model   Linf or L2
    eps                     as a share of the input's range, k/255 where it is that
    clean_acc               percent, a string of two decimals as there
    external                likewise: robust accuracy against what was run, not autoattack_acc
    number_forward_passes   1: an answer is one inference, and always the same
    unreliable              of an audit: whether a flag is raised
    footnote                what was run, on how many images, and whose labels
    hwsim_machine           float or engine; no key of theirs

``autoattack_acc`` is never among them: its authors' program was not run, and the attack
``autoattack`` of this package is another one, on the grid of the input. Neither are ``reported``,
``authors`` and ``link``, of which a run knows nothing. Budgets without bound, numbers of changed
values and targeted attacks have no threat model there and make no entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwsim.report import budgets

#: Norm of a result -> their name of the threat model.
THREATS = {"linf": "Linf", "l2": "L2"}
#: Machine -> keys of its clean share, of its own success.
_MACHINES = {"float": ("float", "float_float"), "engine": ("fixed", "engine_engine")}


def of_attack(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of ``hwsim attack``: each machine against what is crafted on itself."""
    threat = THREATS.get(budgets.norm(result))
    if threat is None or result.get("targeted"):
        return []
    found = []
    for machine, (clean_key, pair) in _MACHINES.items():
        clean, successes = result["clean"][clean_key], result["success"][pair]
        for epsilon, success in zip(result["epsilons"], successes, strict=True):
            if success is None or epsilon is None or not math.isfinite(epsilon):
                continue
            found.append(
                _entry(result, clean, machine)
                | {"threat_model": threat, "eps": _eps(result, epsilon)}
                | {"external": _percent(clean * (1 - success))}
                | {"footnote": f"{result['attack']}, {_images(result)}"}
            )
    return found


def of_audit(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of ``hwsim audit``: the engine against the worst of all attacks, image by image."""
    clean = result["correct"] / result["samples"]
    return [
        _entry(result, clean, "engine")
        | {"threat_model": "Linf", "eps": _eps(result, row["epsilon"])}
        | {"external": _percent(clean * (1 - row["worst"]))}
        | {"unreliable": bool(result["raised"])}
        | {"footnote": f"worst case over the attacks of hwsim audit, {_images(result)}"}
        for row in result["bottom_line"]
    ]


def of_run(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of ``hwsim run``: accuracy alone."""
    return [
        _entry(result, share, machine) | {"footnote": _images(result)}
        for machine, share in result["accuracy"].items()
    ]


def _entry(result: Mapping[str, Any], clean: float, machine: str) -> dict[str, Any]:
    return {
        "dataset": result["dataset"]["name"], "architecture": result["model"],
        "number_forward_passes": 1, "clean_acc": _percent(clean), "hwsim_machine": machine,
    }  # fmt: skip


def _eps(result: Mapping[str, Any], epsilon: float) -> str:
    low, high = result.get("input_range") or (0.0, 1.0)
    steps = 255 * epsilon / (high - low)
    whole = round(steps)
    if abs(steps - whole) < 1e-6:
        return f"{whole}/255"
    return f"{steps / 255:.6g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _images(result: Mapping[str, Any]) -> str:
    data = result["dataset"]
    note = f"; {data['note']}" if data.get("note") else ""
    return f"{result['samples']:,} images of {data['name']}{note}"
