"""What the engine costs on an ECP5: cells, flip-flops, multipliers and memories of each module.

Yosys keeps the hierarchy, so that every module is mapped once and counted as often as it stands in
the design. Memories must become block RAM and multipliers DSPs: a module where they did not stops
the run. Memories that no device holds stay black boxes, and only their bits are counted.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwsim.fpga import tools as fpga
from hwsim.fpga.tools import Progress, SynthesisError
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.tree import sources

TOP = "hne_top"
RAM = "hne_ram"
#: An LFE5U-85F: block RAMs of 18 Kibit and 18 x 18 multipliers.
DEVICE = {"DP16KD": 208, "MULT18X18D": 156, "LUT4": 83640, "TRELLIS_FF": 83640}
BLOCK_BITS = 18 * 1024
#: A memory of more bits than this must be block RAM.
SMALL_MEMORY = 1024

#: Of results in the user's cache.
_KEPT = "statistics"

BLOCK_RAM, DSP, FLIP_FLOP, LUT_RAM = "DP16KD", "MULT18X18D", "TRELLIS_FF", "TRELLIS_DPR16X4"
#: Cells of the fabric that are logic; a carry cell is two LUTs.
_LOGIC = {"LUT4": 1, "CCU2C": 2, "PFUMX": 0, "L6MUX21": 0, LUT_RAM: 4}


@dataclass(frozen=True)
class ModuleCost:
    """A module of one set of parameters, without the modules in it, and how often it stands there.

    luts: LUT4s, carry cells as two. memory_bits: of its memories, as declared; tables of constants
    are none. multipliers: products in its Verilog. black_box: its memories were not mapped.
    """

    module: str
    instances: int
    luts: int
    flip_flops: int
    dsps: int
    block_rams: int
    memory_bits: int
    multipliers: int
    lut_rams: int = 0
    black_box: bool = False


@dataclass(frozen=True)
class Synthesis:
    """The modules of a configuration, the costliest first; ``seconds`` of Yosys."""

    config: str
    modules: tuple[ModuleCost, ...]
    tool: str
    seconds: float

    def total(self, field: str) -> int:
        """Sum of a field over all instances."""
        return sum(getattr(one, field) * one.instances for one in self.modules)

    def by_module(self) -> dict[str, Counter[str]]:
        """Field -> sum for each module name, all its sets of parameters and instances together."""
        found: dict[str, Counter[str]] = {}
        for one in self.modules:
            row = found.setdefault(one.module, Counter())
            row["instances"] += one.instances
            for field in ("luts", "flip_flops", "dsps", "block_rams", "memory_bits"):
                row[field] += getattr(one, field) * one.instances
        return found

    @property
    def black_box(self) -> bool:
        return any(one.black_box for one in self.modules)

    def to_dict(self) -> dict[str, Any]:
        fields = ("luts", "flip_flops", "dsps", "block_rams", "memory_bits")
        return {
            "config": self.config,
            "tool": self.tool,
            "seconds": self.seconds,
            "total": {field: self.total(field) for field in fields},
            "modules": [asdict(one) for one in self.modules],
        }


def module_name(name: str) -> str:
    r"""The module behind a name of Yosys: ``$paramod$<hash>\hne_ram`` -> ``hne_ram``."""
    parts = name.split("\\")
    return parts[1] if len(parts) > 1 else name


def _plain(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """The modules by the names that cells call them by."""
    return {name.removeprefix("\\"): found for name, found in statistics["modules"].items()}


def script(config: EngineConfig, black_box: bool) -> str:
    """Commands for Yosys; before.json counts what is to be mapped, after.json what became of it."""
    return "\n".join(
        [
            f"read_verilog -I. {' '.join(path.name for path in sources() if path.suffix == '.v')}",
            f"chparam {fpga.parameters(config)} {TOP}",
            f"hierarchy -check -top {TOP}",
            "proc",
            "opt -full",
            "tee -q -o before.json stat -json",
            f"blackbox *{RAM}" if black_box else "",
            f"synth_ecp5 -noflatten -top {TOP}",
            "tee -q -o after.json stat -json",
        ]
    )


def parse(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[ModuleCost, ...]:
    """Yosys' two statistics -> the cost of each module, the one with most LUTs first."""
    modules, mapped_modules = _plain(before), _plain(after)
    instances: Counter[str] = Counter()

    def walk(name: str, times: int) -> None:
        instances[name] += times
        for cell, count in modules[name]["num_cells_by_type"].items():
            if cell in modules:
                walk(cell, times * count)

    top = next(name for name in modules if module_name(name) == TOP)
    walk(top, 1)
    costs = []
    for name, times in instances.items():
        cells = mapped_modules.get(name, {}).get("num_cells_by_type", {})
        planned = modules[name]["num_cells_by_type"]
        # What nobody writes is a table of constants, and logic is a place for it.
        written = any(cell.startswith("$memwr") for cell in planned)
        memory_bits = modules[name]["num_memory_bits"] if written else 0
        costs.append(
            ModuleCost(
                module=module_name(name),
                instances=times,
                luts=sum(cells.get(cell, 0) * size for cell, size in _LOGIC.items()),
                flip_flops=cells.get(FLIP_FLOP, 0),
                dsps=cells.get(DSP, 0),
                block_rams=cells.get(BLOCK_RAM, 0),
                memory_bits=memory_bits,
                multipliers=planned.get("$mul", 0),
                lut_rams=cells.get(LUT_RAM, 0),
                black_box=not cells and memory_bits > 0,
            )
        )
    return tuple(sorted(costs, key=lambda one: (-one.luts * one.instances, one.module)))


def check_inference(modules: tuple[ModuleCost, ...]) -> None:
    """Raises SynthesisError if a memory or a multiplier became logic."""
    for one in modules:
        if one.black_box:
            continue
        if one.memory_bits > SMALL_MEMORY and (not one.block_rams or one.lut_rams):
            raise SynthesisError(
                f"{one.module}: its memory of {one.memory_bits} bits became "
                f"{one.lut_rams} LUT RAMs and {one.flip_flops} flip-flops, not block RAM"
            )
        if one.dsps < one.multipliers:
            raise SynthesisError(
                f"{one.module}: {one.multipliers} multipliers became {one.dsps} DSPs, the rest LUTs"
            )


def memory_bits(config: EngineConfig) -> int:
    """Bits of the large memories: weights, index, feature maps, tile buffer, tables."""
    index = config.idx_depth * config.rows * config.stored_bits(1 + config.addr_w)
    return (
        config.wgt_depth * config.stored_bits(config.wgt_w)
        + (index if config.index_mode == "sram" else 0)
        + config.act_bits
        + 2 * config.tile_depth * config.rows * config.wgt_w
        + config.cols * (config.lut_tables << config.act_w) * config.stored_bits(config.act_w)
    )


def synthesize(config: EngineConfig, on_progress: Progress) -> Synthesis:
    """Map ``config`` to ECP5 cells; from the cache if nothing has changed since.

    Raises SynthesisError if Yosys is missing or fails, and as ``check_inference`` does.
    """
    commands, tool = _commands(config), fpga.version("yosys")

    def make() -> dict[str, Any]:
        started = time.monotonic()
        with fpga.workplace() as folder:
            (folder / "synth.ys").write_text(commands, encoding="utf-8")
            fpga.run_tool(
                [fpga.tool("yosys"), "synth.ys"], folder, "yosys.log", started, on_progress
            )
            before, after = (_statistics(folder / f"{name}.json") for name in ("before", "after"))
        seconds = round(time.monotonic() - started, 1)
        return {"before": before, "after": after, "seconds": seconds}

    # Kept as Yosys says it: what is made of it may change.
    result = fpga.kept(_KEPT, f"{tool}\n{commands}", make)
    modules = parse(result["before"], result["after"])
    check_inference(modules)
    return Synthesis(config.name, modules, tool, result["seconds"])


def is_synthesized(config: EngineConfig) -> bool:
    """Whether ``synthesize`` would find it in the cache."""
    return fpga.is_kept(_KEPT, f"{fpga.version('yosys')}\n{_commands(config)}")


def _commands(config: EngineConfig) -> str:
    return script(config, memory_bits(config) > DEVICE[BLOCK_RAM] * BLOCK_BITS)


def _statistics(path: Path) -> dict[str, Any]:
    """The JSON of ``stat -json``; log lines around it are left out."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r"^\{.*^\}", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SynthesisError("Yosys wrote no statistics")
    data = json.loads(found[0])
    assert isinstance(data, dict)
    return data
