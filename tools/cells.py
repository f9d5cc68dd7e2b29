"""Measures the engines of hwsim/fpga/measured_cells.json, between which LUTs are interpolated.

    python -m tools.cells           a minute or more an engine, kept, so that it goes on; `wide`,
                                    the slowest, as docs/synthesis.md has it
    python -m tools.cells --kept    those that the user's cache has, too; Yosys maps none

The table is written anew after each engine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwsim.files.file import replacing
from hwsim.files.markdown import get
from hwsim.fpga import tools as fpga
from hwsim.fpga.cell_model import COUNTS, TABLE, axes_of, logic_of, rest_of, source_digest
from hwsim.fpga.synthesis import is_synthesized, synthesize
from hwsim.numbers.config import EngineConfig, load_config

#: rows, cols, banks, bits, index, skip, check bits of ``default`` otherwise; those first that say
#: most.
CORNERS = (
    (16, 8, 16, 8, "sram", False, "none"),
    (8, 4, 8, 8, "sram", False, "none"),
    (8, 4, 8, 8, "hash", False, "none"),
    (8, 8, 16, 8, "sram", False, "none"),
    (32, 4, 32, 8, "sram", False, "none"),
    (8, 4, 8, 8, "sram", True, "none"),
    (8, 4, 8, 8, "sram", False, "secded"),
    (8, 4, 8, 4, "sram", False, "none"),
    (16, 4, 32, 8, "hash", False, "none"),
    (16, 8, 16, 8, "hash", False, "none"),
    (16, 8, 16, 4, "hash", True, "secded"),
    (8, 16, 16, 8, "sram", False, "none"),
    (32, 8, 32, 8, "sram", False, "none"),
    (16, 8, 32, 8, "sram", False, "none"),
    (8, 8, 8, 8, "hash", True, "none"),
    (16, 4, 16, 8, "hash", False, "secded"),
    (8, 4, 8, 8, "sram", False, "parity"),
)
PAGE = Path("docs/synthesis.md")
#: What `hwsim pnr` reached, docs/synthesis.md: configuration, skip, MHz, seed of the placer.
ROUTED = (("small", False, 109.0, 2),)


def engines() -> Iterator[EngineConfig]:
    """All that are to be measured; the smallest and the largest ship as configurations."""
    base = load_config("default")
    yield load_config("tiny")
    yield load_config("wide")
    for rows, cols, banks, bits, index, skip, ecc in CORNERS:
        yield base.replace(
            rows=rows, cols=cols, banks=banks, act_w=bits, wgt_w=bits, index_mode=index,
            skip=skip, ecc=ecc,
        )  # fmt: skip


def clocks() -> Iterator[dict[str, Any]]:
    """Routed engines by a digest of their logic."""
    for name, skip, mhz, seed in ROUTED:
        logic = logic_of(load_config(name).replace(skip=skip))
        yield {"config": name, "skip": skip, "mhz": mhz, "seed": seed, "logic": logic}


def point(config: EngineConfig) -> dict[str, Any]:
    """A line of the table."""
    found = synthesize(config, lambda stage, seconds: None)
    modules = {
        name: {field: row[field] for field in COUNTS if row[field]}
        for name, row in sorted(found.by_module().items())
    }
    totals = {field: found.total(field) for field in COUNTS}
    return {
        "axes": axes_of(config), **totals,
        "modules": {name: counts for name, counts in modules.items() if counts},
        "source": "hwsim synth", "logic": logic_of(config),
    }  # fmt: skip


def documented(config: EngineConfig) -> dict[str, Any] | None:
    """The same of a configuration that `hwsim synth --docs` has put into its page."""
    text = get(PAGE, "synth")
    if f"### `{config.name}`" not in text or config != load_config(config.name):
        return None
    part = text.split(f"### `{config.name}`", 1)[1].split("###", 1)[0]
    modules: dict[str, dict[str, int]] = {}
    for line in part.splitlines():
        cells = [cell.strip().replace(",", "") for cell in line.strip("| ").split("|")]
        if cells[0].startswith("hne_"):
            counts = dict(zip(COUNTS, map(int, cells[2:5]), strict=True))
            modules[cells[0]] = {field: count for field, count in counts.items() if count}
    totals = {field: sum(one.get(field, 0) for one in modules.values()) for field in COUNTS}
    return {
        "axes": axes_of(config), **totals,
        "modules": {name: counts for name, counts in sorted(modules.items()) if counts},
        "source": "docs/synthesis.md", "logic": logic_of(config),
    }  # fmt: skip


def main() -> None:
    """Measure, or take what is kept, and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.cells", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--kept", action="store_true", help="only what the cache has")
    chosen = parser.parse_args()
    tool = fpga.version("yosys").partition(", ")[0]
    content: dict[str, Any] = {
        "command": "python -m tools.cells", "verilog": source_digest(),
        "tool": tool + ")" * (tool.count("(") - tool.count(")")),
        "rest": rest_of(load_config("default")), "routed": list(clocks()), "points": [],
    }  # fmt: skip
    for config in engines():
        found = None if is_synthesized(config) else documented(config)
        if found is None:
            if chosen.kept and not is_synthesized(config):
                continue
            found = point(config)
        content["points"].append(found)
        with replacing(TABLE) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{len(content['points'])}: {content['points'][-1]['luts']:,} LUTs", flush=True)


if __name__ == "__main__":
    main()
