"""Measures what each optional unit of `small` costs: docs/measured/optional-units.json.

    python -m tools.optional_units           cells of `small` as it is, without each unit that it
                                             has and with each that it has not: Yosys, a minute
                                             or two each
    python -m tools.optional_units --route   and their clocks with the seed of `make pnr`: nextpnr,
                                             about ten minutes each; with NAMEs, such as bare, only
                                             of those

What was measured comes from the cache, so that an interrupted run goes on; the file is written anew
after each engine. ``python -m tools.tables`` puts it into docs/synthesis.md.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from hwsim.files.file import replacing
from hwsim.fpga.cell_model import source_digest
from hwsim.fpga.place_route import place
from hwsim.fpga.synthesis import synthesize
from hwsim.numbers.config import EngineConfig, load_config
from tools.tables.measured import FOLDER
from tools.tables.optional_units import COUNTS, NAME, SEED, VARIANTS


def row(config: EngineConfig, route: bool, known: dict[str, Any]) -> dict[str, Any]:
    """Cells of an engine; its clock if it is asked for, or was known."""
    found = synthesize(config, lambda stage, seconds: None)
    counts = {field: found.total(field) for field in COUNTS}
    mhz = known.get("mhz")
    if route:
        mhz = place(config, lambda stage, seconds: None, SEED).mhz
    return {**counts, "mhz": mhz}


def main() -> None:
    """Measure all, and write the file."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.optional_units", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--route", nargs="*", metavar="NAME", choices=list(VARIANTS), help="their clocks, too"
    )
    chosen = parser.parse_args()
    routed = list(VARIANTS) if chosen.route == [] else chosen.route or []
    path, verilog = FOLDER / f"{NAME}.json", source_digest()
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"verilog": None}
    # Of another Verilog nothing is known.
    known = old["engines"] if old["verilog"] == verilog else {}
    base = load_config("small")
    for name, (_, changed) in VARIANTS.items():
        known[name] = row(base.replace(**changed), name in routed, known.get(name, {}))
        clocks = [one for one in VARIANTS if known.get(one, {}).get("mhz")]
        words = ["python -m tools.optional_units", *(["--route", *clocks] if clocks else [])]
        content = {
            "command": " ".join(words),
            "verilog": verilog,
            "engines": {one: known[one] for one in VARIANTS if one in known},
        }  # fmt: skip
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {known[name]}", flush=True)


if __name__ == "__main__":
    main()
