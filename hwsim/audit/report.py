"""What an audit leaves behind: result.json, result.png and one self-contained report.html.

The result is a plain dict, and it is what result.json holds:

    model, config, bits, history       what was audited; rewrites of the ROM, oldest first
    samples, correct                   test images tried, and those classified correctly: all
                                       counts and shares below are of the latter
    epsilons, effective_epsilons       L∞, as asked and in whole input steps
    steps, draws, queries, sources     of PGD; of random noise; of the square attack; networks
                                       crafted on for transfer
    dataset                            {name, source, note | None, digest}
    verdicts                           one per flag: {key, title, raised: true | false | null,
                                       finding, rows}
    raised                             keys of the flags that are raised
    bottom_line                        per ε {epsilon, naive, naive_interval, worst,
                                       worst_interval, strongest, strongest_rate}
    evidence                           everything measured (hwsim.audit.evidence.Evidence)
    versions, command, seconds
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.audit.flag_texts import BY_KEY, FLAGS
from hwsim.files.output import write_together
from hwsim.report.html import rendered
from hwsim.report.pages import FILES, prepare_run_directory
from hwsim.report.schema import to_json
from hwsim.report.words import percent


def headline(result: Mapping[str, Any]) -> str:
    """The finding in one or two sentences."""
    raised = result["raised"]
    last = result["bottom_line"][-1]
    numbers = (
        f"At ε = {last['epsilon']:g} the naive attack fools it on {percent(last['naive'])} of the "
        f"images, the worst case over all attacks is {percent(last['worst'])}."
    )
    if not raised:
        return f"No flag is raised: nothing suggests that gradients are hidden. {numbers}"
    count = "1 flag is" if len(raised) == 1 else f"{len(raised)} flags are"
    return (
        f"{count} raised: this network hides its gradients, or the attacks have failed. The naive "
        f"number does not show robustness. {numbers}"
    )


def span(interval: Sequence[float]) -> str:
    """``59–81`` in percent."""
    low, high = interval
    return f"{100 * low:.0f}–{100 * high:.0f}"


def attack_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, family, success per ε of the run (None where not tried), and passes of each attack."""
    rows = []
    for made in result["evidence"]["attempts"].values():
        n = result["correct"]
        rates = dict(
            zip(made["epsilons"], (row.count("1") / n for row in made["success"]), strict=True)
        )
        rows.append(
            {
                "name": made["name"],
                "family": made["family"],
                "rates": [rates.get(e) for e in result["epsilons"]],
                "unbounded": rates.get(1.0),
                "passes": made["forward"] + made["backward"],
            }
        )
    return rows


def depth_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Depth, probe, step and the cosine of each mode."""
    return list(result["evidence"]["agreement"])


def write_audit(result: Mapping[str, Any], directory: Path | str) -> dict[str, Path]:
    """Write result.json, result.png and report.html; return their paths. Raises InputError."""
    from hwsim.audit.plot import audit_png

    folder = prepare_run_directory(directory)
    paths = {kind: folder / name for kind, name in FILES.items()}
    picture = audit_png(result)
    page = render_html(result, picture).encode()
    write_together(paths, {"png": picture, "html": page, "json": to_json(result).encode()})
    return paths


def render_html(result: Mapping[str, Any], picture: bytes) -> str:
    """The report as one HTML page that loads nothing from elsewhere."""
    return rendered(
        "audit.html",
        r=result,
        flags=FLAGS,
        meaning=BY_KEY,
        headline=headline(result),
        percent=percent,
        span=span,
        attacks=attack_rows(result),
        depths=depth_rows(result),
        png=base64.b64encode(picture).decode(),
        raw=to_json(result),
    )
