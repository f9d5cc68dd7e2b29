"""Tables of what takes long to measure, from the files that the measurements left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwsim.errors import InputError
from hwsim.files import markdown

FOLDER = Path(__file__).parents[2] / "docs" / "measured"


def read(name: str) -> dict[str, Any]:
    """A measurement: ``command``, which makes it again, and what it found."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def table(name: str) -> str:
    """A table whose cells were kept as its command printed them."""
    found = read(name)
    return markdown.table(found["head"], found["rows"])


def take(name: str, printed: str) -> None:
    """Keep a Markdown table that a command printed, beside the command that is there already.

    Raises InputError if there is no table, or one with other columns.
    """
    lines = [line.strip() for line in printed.splitlines() if line.lstrip().startswith("|")]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    found = read(name)
    if len(rows) < 3 or any(len(row) != len(found["head"]) for row in rows):
        raise InputError(f"{name}: expected a Markdown table of {len(found['head'])} columns")
    head, body = rows[0], ",\n".join(f"  {_json(row)}" for row in rows[2:])
    text = (
        f' "command": {_json(found["command"])},\n "head": {_json(head)},\n "rows": [\n{body}\n ]'
    )
    (FOLDER / f"{name}.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def hfgsm() -> str:
    """Success of HFGSM by compression and word width, for README.md."""
    found = read("hfgsm")
    wide, narrow = found["epsilons"]["8"], found["epsilons"]["4"]
    head = ["network", "clean", *_first(wide), "4 bits: clean", *_first(narrow)]
    rows = [[name, *(f"{cell:.1f}" for cell in cells)] for name, cells in found["rows"].items()]
    return markdown.table(head, rows)


def _first(epsilons: list[float]) -> list[str]:
    return [f"ε {value:g}" if n == 0 else f"{value:g}" for n, value in enumerate(epsilons)]


def bench() -> str:
    """Ratios to named peers, for README.md."""
    rows = []
    for line in read("bench")["lines"]:
        name = f"{line['name']} ({line['note']})" if line["note"] else line["name"]
        ours, peer = (f"{line[side]:,} {line['unit']}" for side in ("ours", "peer"))
        rows.append([name, ours, peer, f"{line['ratio']:g}", line["peer_name"]])
    head = ["benchmark", "ours", "peer", "ratio", "the peer is"]
    return markdown.table(head, rows)


def rtl_full() -> str:
    """What `make rtl-full` compared, for docs/rtl.md."""
    found = read("rtl-full")
    random, trained = found["random"], found["trained"]
    return (
        f"`make rtl-full`, {found['tests']:,} tests. Random networks: {_compared(random)}, "
        f"{random['skipping']} of them skip zeros; in batches {_compared(found['batches'])}; with "
        f"faults {_compared(found['faults'])}. Trained ones: {trained['images']} images, "
        f"{trained['adversarial']} of them adversarial, of each of {trained['on_default']} on "
        f"`default` and of mnist-cnn-h64 on `small` ({trained['activations'] / 1e6:.1f} M "
        f"activations, {trained['cycles'] / 1e6:.0f} M cycles). {found['differences']} "
        f"differences. It took {found['minutes']} minutes on one core, beside other work."
    )


def _compared(found: dict[str, Any]) -> str:
    return (
        f"{found['networks']} on {found['engines']} engines ({found['activations']:,} activations, "
        f"{found['logits']:,} logits, {found['counters']:,} counters, "
        f"{found['cycles'] / 1e6:.2f} M cycles)"
    )
