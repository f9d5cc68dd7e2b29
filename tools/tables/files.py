"""Tables of docs/files.md, from what tests.bench.real_files and resnet_accuracy kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwsim.files import markdown
from hwsim.report.words import energy, percent
from tools.tables import measured

#: Below this share of equal answers, docs/files.md says why.
WANTED = 0.995


def rows() -> Mapping[str, Any]:
    """Cells by file; files of one origin stand together."""
    found = measured.read("files")["files"]
    origins = [cells["network"]["origin"] for cells in found.values()]
    return dict(sorted(found.items(), key=lambda row: origins.index(row[1]["network"]["origin"])))


def networks() -> str:
    """What the files are, and what they cost on the engine."""
    found = []
    for name, cells in rows().items():
        about = cells["network"]
        listed = ", ".join(f"{count} {kind}" for kind, count in about["operators"].items())
        found.append(
            [name, about["origin"], about["dialect"], listed, str(about["layers"]),
             f"{about['cycles']:,}", energy(about["energy_nj"])]
        )  # fmt: skip
    head = ["file", "from", "dialect", "operators", "layers", "cycles", "energy"]
    return markdown.table(head, found)


def answers() -> str:
    """Every runtime of every file beside the engine."""
    found = []
    any_wide = any("compared-31" in cells for cells in rows().values())
    for name, cells in rows().items():
        first, wide = (cells.get(f"compared-{width}") for width in (16, 31))
        if first is None:
            continue
        data = f"{first['images']} {first['data']}"
        for n, run in enumerate(first["runtimes"]):
            worst = run["worst"]
            found.append(
                [name if not n else "", data if not n else "", run["name"],
                 percent(worst["equal"], 2) if worst else "–",
                 "–" if run["lsb"] is None else str(run["lsb"]),
                 f"{run['exact']} of {run['compared']}" if worst else "–",
                 percent(run["answers"])]
            )  # fmt: skip
            if any_wide:
                found[-1].append(percent(wide["runtimes"][n]["answers"]) if wide else "–")
    head = ["file", "images", "runtime", "worst layer", "largest LSB", "layers of a known rounding",
            "answers, 16 bits"]  # fmt: skip
    head += ["31 bits"] if any_wide else []
    return markdown.table(head, found)


def attacks() -> str:
    """PGD in float and on the engine, and the audit's verdict."""
    found = []
    for name, cells in rows().items():
        pgd, audit = cells.get("pgd"), cells.get("audit")
        if pgd is None:
            continue
        if "why" in pgd:
            found.append([name, "–", "–", "–", "–", pgd["why"]])
            continue
        whose = "" if pgd["labels"] else " of its own answers"
        found.append(
            [name, f"{pgd['share']:.3g}", str(pgd["images"]),
             f"{percent(pgd['clean']['float'])} / {percent(pgd['clean']['fixed'])}{whose}",
             f"{percent(pgd['float_float'])} / {percent(pgd['engine_engine'])}",
             "not measured" if audit is None else _verdict(audit)]
        )  # fmt: skip
    head = ["file", "ε of the range", "images", "correct, float / engine",
            "PGD, float / engine", "audit: flags; naive → worst case"]  # fmt: skip
    return markdown.table(head, found)


def _verdict(audit: Mapping[str, Any]) -> str:
    flags = ", ".join(audit["raised"]) or "none raised"
    return f"{flags}; {percent(audit['naive'])} → {percent(audit['worst'])}"


def resnet() -> str:
    """Accuracy of MLPerf Tiny's ResNet-8 by machine, and how often two of them agree."""
    found = measured.read("resnet-accuracy")
    count, names = found["images"], list(found["correct"])

    def agree(one: str, other: str) -> str:
        return "" if one == other else percent(found["equal"][one][other] / count)

    body = [
        [name, percent(found["correct"][name] / count, 2), *(agree(name, other) for other in names)]
        for name in names
    ]
    return markdown.table(["machine", "accuracy", *(f"answers as {n}" for n in names)], body)


def short() -> Iterator[tuple[str, str, float]]:
    """(file, runtime, share) of answers below what is wanted, with the default multipliers."""
    for name, cells in rows().items():
        for run in cells.get("compared-16", {"runtimes": []})["runtimes"]:
            if run["answers"] is not None and run["answers"] < WANTED:
                yield name, run["name"], run["answers"]
