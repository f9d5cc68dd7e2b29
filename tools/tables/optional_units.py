"""What optional units of `small` cost, for docs/synthesis.md."""

from __future__ import annotations

from typing import Any

from hwsim.files import markdown
from tools.tables import measured

#: In docs/measured; written by ``python -m tools.optional_units``.
NAME = "optional-units"
#: Of the placer: the one of `make pnr`.
SEED = 2
#: What is counted of each engine: ``Synthesis.total``.
COUNTS = ("luts", "flip_flops", "dsps", "block_rams")
#: Engines, by a name for the command line: what the table calls them, and what is changed in
#: `small`.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "small": ("`small`", {}),
    "no-add": ("without `add`", {"add": False}),
    "no-average": ("without `average`", {"average": False}),
    "no-groups": ("without `groups`", {"groups": False}),
    "no-tables": ("without tables, `lut_tables = 0`", {"lut_tables": 0}),
    "bare": (
        "with none of these four",
        {"add": False, "average": False, "groups": False, "lut_tables": 0},
    ),
    "softmax": ("with `softmax`", {"softmax": True}),
    "skip": ("with `skip`", {"skip": True}),
    "parity": ('with `ecc = "parity"`', {"ecc": "parity"}),
    "secded": ('with `ecc = "secded"`', {"ecc": "secded"}),
}


def table() -> str:
    """Cells and clock of each engine; those of `small` first, of the others the difference, too."""
    engines = measured.read(NAME)["engines"]
    base = engines["small"]
    rows = []
    for name, found in engines.items():
        more = f" ({found['luts'] - base['luts']:+,})" if found is not base else ""
        rows.append([
            VARIANTS[name][0], f"{found['luts']:,}{more}".replace("-", "−"),
            *(f"{found[field]:,}" for field in COUNTS[1:]),
            f"{found['mhz']:.1f} MHz" if found["mhz"] else "not routed",
        ])  # fmt: skip
    head = ["engine", "LUTs", "flip-flops", "DSPs", "block RAMs", f"clock, seed {SEED}"]
    return markdown.table(head, rows)
