"""All designs on one interactive page that loads nothing: parallel coordinates, and a scatter."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from hwsim.studies.explore.objectives import GOALS
from hwsim.studies.explore.result import ExploredFront
from hwsim.studies.explore.words import said
from hwsim.studies.judge.style import COLORS, MARKERS

#: What a page needs, in one line.
REMEDY = "an interactive page needs plotly: pip install 'hwsim[explore]'"
#: Axes whose values span decades.
_DECADES = ("cycles", "energy", "memory")
_TITLES = {
    "cycles": "cycles an image", "energy": "energy, nJ", "memory": "memory, bits",
    "luts": "LUTs", "accuracy": "accuracy", "pgd": "PGD success", "flips": "flips to break it",
}  # fmt: skip
#: Plotly's names of the markers of hwsim.studies.judge.style.
_SYMBOLS = dict(zip(MARKERS, ("circle", "square", "triangle-up", "diamond", "triangle-down",
                              "cross", "x"), strict=True))  # fmt: skip
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem;
  padding: 0 1rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .2rem; }
p { margin: .4rem 0; } .soft { color: #57606a; } .verdict { border-left: .3rem solid #0072B2;
  padding: .3rem .8rem; background: #f6f8fa; margin: .6rem 0; }
"""


def have_plotly() -> bool:
    """Whether pages can be made."""
    return find_spec("plotly") is not None


def page(found: ExploredFront, result: Mapping[str, Any]) -> str:
    """One HTML file with everything in it. Needs plotly."""
    coordinates, scatter = _coordinates(found), _scatter(found)
    config = {"displaylogo": False, "responsive": True}
    first = coordinates.to_html(full_html=False, include_plotlyjs=True, config=config)
    second = scatter.to_html(full_html=False, include_plotlyjs=False, config=config)
    verdicts = "".join(
        f'<p class="verdict"><b>{html.escape(one["verdict"])}</b>: {html.escape(one["text"])}</p>'
        for one in result["answers"]
    )
    notes = "".join(f'<p class="soft">{html.escape(note)}</p>' for note in result["notes"])
    title = html.escape(result["title"])
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="soft">{html.escape(result["command"])}</p>{verdicts}'
        "<h2>Every design a line</h2>"
        '<p class="soft">Drag along an axis to keep a range of it; drag a title to move an axis. '
        f"Colour: PGD success.</p>{first}"
        "<h2>Two axes against each other</h2>"
        '<p class="soft">Choose the axes above the picture; point at a design for its numbers; '
        "click a name to hide it. Large: the Pareto front; small and pale: dominated; black star: "
        f"the base engine.</p>{second}{notes}</body></html>\n"
    )


def _known(found: ExploredFront) -> list[str]:
    return [goal.name for goal in found.goals]


def _coordinates(found: ExploredFront) -> Any:
    import plotly.graph_objects as graphs

    names = list(dict.fromkeys(one.design.network for one in found.explored))
    dimensions: list[dict[str, Any]] = [
        {
            "label": "network", "tickvals": list(range(len(names))), "ticktext": names,
            "values": [names.index(one.design.network) for one in found.explored],
        },
        {
            "label": "front", "tickvals": [0, 1], "ticktext": ["no", "yes"],
            "values": [int(kept) for kept in found.front],
        },
    ]  # fmt: skip
    for axis in ("rows", "cols", "banks", "bits"):
        values = [getattr(one.design.engine, axis) for one in found.explored]
        steps = sorted(set(values))
        dimensions.append({
            "label": axis, "values": [steps.index(value) for value in values],
            "tickvals": list(range(len(steps))), "ticktext": [str(step) for step in steps],
        })  # fmt: skip
    for axis in ("index", "skip", "ecc"):
        words = [_word(getattr(one.design.engine, axis)) for one in found.explored]
        steps = sorted(set(words))
        dimensions.append({
            "label": axis, "values": [steps.index(word) for word in words],
            "tickvals": list(range(len(steps))), "ticktext": steps,
        })  # fmt: skip
    ports = [one.design.engine.bandwidth for one in found.explored]
    if ports.count(None) < len(ports):
        wide = sorted({*ports}, key=lambda port: math.inf if port is None else port)
        dimensions.append({
            "label": "bytes a cycle", "values": [wide.index(port) for port in ports],
            "tickvals": list(range(len(wide))),
            "ticktext": ["on chip" if port is None else f"{port:g}" for port in wide],
        })  # fmt: skip
    for name in _known(found):
        values = [one.values[name].value for one in found.explored]
        dimension: dict[str, Any] = {"label": _TITLES[name], "values": values}
        if name in _DECADES:
            logs = [math.log10(max(value, 1.0)) for value in values]
            dimension |= {"values": logs, **_decades(min(logs), max(logs))}
        dimensions.append(dimension)
    figure = graphs.Figure(
        graphs.Parcoords(
            line={
                "color": [one.values["pgd"].value for one in found.explored],
                "colorscale": "Cividis", "showscale": True, "colorbar": {"title": "PGD"},
            },
            dimensions=dimensions, labelangle=-20, labelside="top",
        )
    )  # fmt: skip
    figure.update_layout(height=460, margin={"l": 150, "r": 40, "t": 110, "b": 30})
    return figure


def _word(value: Any) -> str:
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _decades(low: float, high: float) -> dict[str, Any]:
    """Ticks of 1, 2, 5 times powers of ten between two logarithms."""
    exponents = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**e for e in exponents for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low - 0.02 <= math.log10(tick) <= high + 0.02]
    return {
        "tickvals": [math.log10(tick) for tick in inside], "ticktext": [_short(t) for t in inside]
    }  # fmt: skip


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _scatter(found: ExploredFront) -> Any:
    import plotly.graph_objects as graphs

    known = _known(found)
    first = (known[0], known[-1] if len(known) < 2 else known[1])
    groups = _groups(found)
    figure = graphs.Figure()
    for label, many, look in groups:
        figure.add_trace(
            graphs.Scatter(
                x=_column(many, first[0]), y=_column(many, first[1]), mode="markers", name=label,
                marker=look, text=[_hover(one, known) for one in many], hoverinfo="text",
            )
        )  # fmt: skip
    menus = [
        {
            "buttons": [
                {
                    "label": f"{axis}: {_TITLES[name]}", "method": "update",
                    "args": [
                        {axis: [_column(many, name) for _, many, _ in groups]},
                        {
                            f"{axis}axis.title.text": _TITLES[name],
                            f"{axis}axis.type": "log" if name in _DECADES else "linear",
                        },
                    ],
                }
                for name in known
            ],
            "active": known.index(first[number]),
            "x": 0.28 * number, "y": 1.14, "xanchor": "left", "yanchor": "top",
        }
        for number, axis in enumerate("xy")
    ]  # fmt: skip
    kind = ["log" if name in _DECADES else "linear" for name in first]
    figure.update_layout(
        updatemenus=menus, height=620, margin={"l": 70, "r": 20, "t": 90, "b": 60},
        template="plotly_white",
        xaxis={"title": {"text": _TITLES[first[0]]}, "type": kind[0]},
        yaxis={"title": {"text": _TITLES[first[1]]}, "type": kind[1]},
    )  # fmt: skip
    return figure


def _column(many: Sequence[Any], name: str) -> list[float]:
    return [one.values[name].value for one in many]


def _groups(found: ExploredFront) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Names, designs and looks of what can be hidden together."""
    names = list(dict.fromkeys(one.design.network for one in found.references))
    groups = []
    for number, name in enumerate(names):
        color = COLORS[number % len(COLORS)]
        symbol = _SYMBOLS[MARKERS[number % len(MARKERS)]]
        for kept, words in ((False, "dominated"), (True, "front")):
            many = [
                one
                for one, member in zip(found.explored, found.front, strict=True)
                if bool(member) == kept and one.design.network == name
            ]
            look: dict[str, Any] = {
                "color": color, "symbol": symbol, "size": 10 if kept else 6,
                "opacity": 0.9 if kept else 0.3,
            }  # fmt: skip
            groups.append((f"{name}, {words}", many, look))
    star = {"color": "#1b1f24", "symbol": "star", "size": 14}
    groups.append(("base engine", list(found.references), star))
    return groups


def _hover(one: Any, known: Sequence[str]) -> str:
    lines = [f"<b>{one.design.network}</b>", one.design.engine.text]
    for name in known:
        value = one.values[name]
        spread = ""
        if name in ("accuracy", "pgd"):
            spread = f" [{100 * value.low:.1f}–{100 * value.high:.1f}]"
        lines.append(f"{GOALS[name].head}: {said(name, value)}{spread}")
    return "<br>".join(lines)
