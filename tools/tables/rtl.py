"""The named configurations in the Verilog: sizes, what they cost, what was compared on them."""

from __future__ import annotations

import re
from pathlib import Path

from hwsim.files import markdown
from hwsim.numbers.config import EngineConfig, config_names, load_config

SYNTHESIS = Path(__file__).parents[2] / "docs" / "synthesis.md"
#: On which random networks run, and which trained ones.
COMPARED = {
    "tiny": ("`make test` and `make rtl-full`", "-"),
    "small": ("`make rtl-full`", "mnist-cnn-h64, `make rtl-full`"),
    "default": ("`make rtl-full`", "all of MNIST, `make test` and `make rtl-full`"),
    "wide": ("`make rtl-full`", "-"),
}


def routed() -> dict[str, str]:
    """What `make pnr` wrote into docs/synthesis.md, by the names of its rows."""
    lines = markdown.get(SYNTHESIS, "pnr").splitlines()
    cells = (line.strip("|").split("|") for line in lines if line.startswith("|"))
    return {row[0].strip(): row[1].strip() for row in cells}


def placements() -> list[str]:
    """Clocks of `small` from the seeds of the placer, the best one first."""
    lines = markdown.get(SYNTHESIS, "pnr-seeds").splitlines()
    found = [line.split("|")[2].strip() for line in lines if line.startswith("|")]
    return sorted(found[2:], key=lambda clock: -float(clock.split()[0]))


def resources() -> str:
    """Cells and clock of `small`, in short."""
    found = routed()
    counts = {name: found[name].split(" of ")[0] for name in ("LUTs", "DSPs", "block RAMs")}
    return f"{', '.join(f'{n} {name}' for name, n in counts.items())}; {found['clock']} routed"


def _short(count: int) -> str:
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if count % size == 0:
            return f"{count // size} {unit}"
    return str(count)


def _memories(config: EngineConfig) -> str:
    index = f"{_short(config.idx_depth)} index lines" if config.index_mode == "sram" else "no index"
    return f"{_short(config.wgt_depth)} weights, {index}"


def configurations() -> str:
    """The table of docs/rtl.md."""
    (name,) = re.findall(r"\| `(\w+)` \|", markdown.get(SYNTHESIS, "pnr"))
    rows = []
    for config in map(load_config, config_names()):
        cost = resources() if config.name == name else "docs/synthesis.md"
        sizes = f"{config.rows}×{config.cols}, {config.banks}, {config.index_mode}"
        rows.append([config.name, sizes, _memories(config), cost, *COMPARED[config.name]])
    head = ["configuration", "array, banks, index", "memories", "resources and Fmax",
            "random networks in the Verilog", "trained networks"]  # fmt: skip
    return markdown.table(head, rows).replace("---:", "---")
