"""Bytes a cycle of weights that are kept off chip, as they are typed."""

from __future__ import annotations

import click


def port(text: str, *, other: str = "") -> float:
    """What a port brings; other: what else may be said. Raises click.BadParameter."""
    from hwsim.cost.offchip import LEAST, MOST

    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not LEAST <= found <= MOST:
        raise click.BadParameter(f"{text!r}: give bytes a cycle from {LEAST:g} to {MOST:g}{other}")
    return found


def bandwidth(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Callback: one of them."""
    return None if text is None else port(text)


def bandwidths(
    _: click.Context, __: click.Parameter, text: str | None
) -> tuple[float | None, ...] | None:
    """Callback: ``chip,4,16`` -> (None, 4, 16), each once."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(
        None if part == "chip" else port(part, other=", or chip") for part in parts
    ))  # fmt: skip
