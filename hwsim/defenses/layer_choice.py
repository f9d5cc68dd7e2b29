"""Which layers a rewrite touches: last, fc, all, or names."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.errors import InputError

#: Name and kind, ``conv`` or ``fc``, of each layer with weights, in execution order.
Layers = Sequence[tuple[str, str]]


def choose(layers: Layers, choice: str) -> list[str]:
    """Names of the chosen layers in execution order.

    choice: ``last``, ``fc``, ``all``, or names separated by commas. Raises InputError for a name
    that the network does not have, and where no layer has weights.
    """
    if not layers:
        raise InputError("no layer has weights: there is nothing to rewrite")
    names = [name for name, _ in layers]
    if choice == "last":
        return names[-1:]
    if choice == "all":
        return names
    if choice == "fc":
        return [name for name, kind in layers if kind == "fc"]
    wanted = [part.strip() for part in choice.split(",") if part.strip()]
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        what = f"no layer {unknown[0]!r}" if unknown else "no layer is chosen"
        raise InputError(f"{what}: choose last, fc, all or names of {', '.join(names)}")
    return [name for name in names if name in wanted]
