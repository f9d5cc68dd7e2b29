"""A result as one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwsim.report import budgets

if TYPE_CHECKING:
    pass
from hwsim.report.schema import PAIRS, plain, to_json
from hwsim.report.words import (
    attacked_through,
    cautions,
    duration,
    effort,
    energy,
    goal,
    headline,
    judged_by,
    judged_on,
    memory_rows,
    pair_label,
    percent,
)


def render_html(result: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report as one HTML page that loads nothing from elsewhere.

    pictures: PNGs by name, ``success``, ``success_escalated`` and, if there are any, ``examples``.
    """
    shown = plain(result)
    return render_page(
        "report.html",
        result,
        pairs=list(PAIRS),
        png={name: base64.b64encode(data).decode() for name, data in pictures.items()},
        label=pair_label,
        percent=percent,
        budget=lambda position: budgets.label(shown, position),
        detail=lambda position: budgets.detail(shown, position),
        budget_head=budgets.HEAD[budgets.norm(shown)],
        budget_axis=budgets.axis(shown),
        input_step=budgets.step(shown),
        attacked_through=attacked_through(shown),
        effort=effort(shown),
        denominators=[judged_on(shown, pair) for pair in PAIRS],
        all_samples=[shown["samples"]] * len(PAIRS),
        goal=goal(shown),
        headline=headline(shown),
        judged_by=judged_by(shown),
        cautions=cautions(shown),
        memory_rows=memory_rows(shown),
        time=duration(shown["timing"]["microseconds"]),
        energy=energy(shown["energy_nj"]),
    )


def render_page(template: str, result: Mapping[str, Any], **values: Any) -> str:
    """A template of this package as HTML; it sees ``r``, the plain result, ``raw``, its JSON, and
    ``values``.
    """
    return rendered(template, r=plain(result), raw=to_json(result), **values)


def rendered(template: str, **values: Any) -> str:
    """A template of this package as HTML; it sees ``values``, every one of which must be given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hwsim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
