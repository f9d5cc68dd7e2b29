"""Place and route on an LFE5U-85F: the clock that the engine reaches, and the path that limits it.

The engine is routed alone, without pins of a board: only paths from register to register count.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hwsim.fpga import tools as fpga
from hwsim.fpga.synthesis import BLOCK_BITS, BLOCK_RAM, DEVICE, TOP, memory_bits
from hwsim.fpga.tools import Progress, SynthesisError
from hwsim.numbers.config import EngineConfig
from hwsim.rtl.tree import module_file

PART = "LFE5U-85F-6CABGA756"
#: What nextpnr aims at, MHz: a little beyond what must be reached.
TARGET_MHZ = 110
_FLAGS = (
    "--85k", "--package", "CABGA756", "--speed", "6", "--lpf-allow-unconstrained",
    "--timing-allow-fail", "--placer", "static", "--router", "router1",
)  # fmt: skip
_NETLIST = "netlist.json"
#: Modules with registers of their own that are equal in all instances; flattened, they would be
#: merged into one, far from most of its multipliers or memories.
KEPT = ("hne_mac_row", "hne_post_lane", "hne_act_bank", "hne_weight_bank")
#: Registers that are equal within such a module, one for each multiplier of a row: merged, one
#: would stand far from most of them.
APART = "*hne_mac_row/w:*weight_q %ci1:+[Q] t:$dff %i"

_INSTANCE = re.compile(r"(hne_\w+)\s*(?:#\s*\((?:[^()]|\([^()]*\))*\)\s*)?(u_\w+)\s*\(")


@dataclass(frozen=True)
class PathStep:
    """A hop of a path: ns of ``kind`` (clk-to-q, logic, routing, setup), at an instance."""

    kind: str
    ns: float
    instance: str


@dataclass(frozen=True)
class Routed:
    """What nextpnr reached. used: cells of the device by kind. path: the slowest one. seed: of the
    placer.
    """

    config: str
    mhz: float
    used: Mapping[str, int]
    path: tuple[PathStep, ...]
    tool: str
    seconds: float
    seed: int = 1

    @property
    def path_ns(self) -> float:
        return sum(step.ns for step in self.path)

    def share(self, kind: str) -> float:
        """ns of the path spent in ``kind``."""
        return sum(step.ns for step in self.path if step.kind == kind)

    @property
    def ends(self) -> tuple[str, str]:
        """Instance where the path starts, and where it ends."""
        return self.path[0].instance, self.path[-1].instance

    def to_dict(self) -> dict[str, Any]:
        start, end = self.ends
        modules = [module_of(start), module_of(end)]
        return {**asdict(self), "part": PART, "from": start, "to": end, "modules": modules}


def instance_of(cell: str) -> str:
    """The instance that a cell is named after: ``u_core.u_act.x_q_LUT4_Z`` -> ``u_core.u_act``."""
    parts = []
    for part in cell.split("."):
        if not re.fullmatch(r"(u_\w+|gen_\w+(\[\d+\])?)", part):
            break
        if "_TRELLIS_" in part or "_LUT4" in part or "_CCU2C" in part:
            break
        parts.append(part)
    return ".".join(parts)


def module_of(instance: str) -> str:
    """The module of an instance of the design, from the Verilog."""
    module, block = TOP, ""
    for part in instance.split("."):
        if not part.startswith("u_"):
            block = f"begin : {part.partition('[')[0]}\n"
            continue
        text = module_file(module).read_text(encoding="utf-8")
        # Two blocks may have an instance of one name: that of this one stands behind its head.
        children: dict[str, str] = {}
        for child, name in _INSTANCE.findall(text.partition(block)[2] if block else text):
            children.setdefault(name, child)
        module, block = children.get(part, module), ""
    return module


def parse(report: Mapping[str, Any]) -> tuple[float, dict[str, int], tuple[PathStep, ...]]:
    """nextpnr's report -> MHz, cells in use, and the slowest path between registers.

    Raises SynthesisError if the report names no clock.
    """
    clocks = report["fmax"]
    paths = [
        one
        for one in report["critical_paths"]
        if one["from"].startswith("posedge") and one["to"] == one["from"]
    ]
    if not clocks or not paths:
        raise SynthesisError("nextpnr reports no clock: nothing was routed")
    slowest = max(paths, key=lambda one: sum(step["delay"] for step in one["path"]))
    steps = tuple(
        PathStep(
            step["type"],
            round(step["delay"], 2),
            instance_of((step["from"] if step["type"] == "clk-to-q" else step["to"])["cell"]),
        )
        for step in slowest["path"]
    )
    used = {kind: one["used"] for kind, one in report["utilization"].items() if one["used"]}
    return round(min(one["achieved"] for one in clocks.values()), 2), used, steps


def place(config: EngineConfig, on_progress: Progress, seed: int = 1) -> Routed:
    """``place_seeds`` from one start of the placer."""
    return next(place_seeds(config, lambda seed: on_progress, [seed]))


def place_seeds(
    config: EngineConfig, on_seed: Callable[[int], Progress], seeds: Sequence[int]
) -> Iterator[Routed]:
    """Synthesize ``config`` once, and place and route it from every seed, one after the other.

    on_seed: called before each of them, for who is told of its progress.

    What has not changed since comes from the cache, seed by seed: so an interrupted run goes on.
    Synthesis takes about two minutes, every seed about eight. Raises SynthesisError if the memories
    do not fit the device, and if a tool is missing or fails.
    """
    bits, room = memory_bits(config), DEVICE[BLOCK_RAM] * BLOCK_BITS
    if bits > room:
        raise SynthesisError(
            f"{config.name}: its memories of {bits / 1e6:.1f} Mbit do not fit {PART} "
            f"({room / 1e6:.1f} Mbit): place `small`, or make the depths smaller"
        )
    return _routed(config, on_seed, seeds)


def _routed(
    config: EngineConfig, on_seed: Callable[[int], Progress], seeds: Sequence[int]
) -> Iterator[Routed]:
    reading = f"read_verilog -I. hne_*.v\nchparam {fpga.parameters(config)} {TOP}\n"
    commands = (
        f"{reading}synth_ecp5 -top {TOP} -run begin:coarse\n"
        f"setattr -mod -set keep_hierarchy 1 {' '.join(f'*{name}' for name in KEPT)}\n"
        f"proc\nsetattr -set keep 1 {APART}\n"
        f"synth_ecp5 -top {TOP} -run coarse: -json {_NETLIST}\n"
    )
    tool, versions = fpga.version("nextpnr-ecp5"), fpga.version("yosys")
    with fpga.workplace() as folder:
        for seed in seeds:
            flags = [*_FLAGS, "--freq", str(TARGET_MHZ), "--seed", str(seed)]
            recipe = "\n".join([versions, tool, commands, *flags])
            make = partial(_route, folder, commands, flags, on_seed(seed))
            result = fpga.kept("pnr", recipe, make)
            path = tuple(PathStep(**step) for step in result["path"])
            yield Routed(
                config.name, result["mhz"], result["used"], path, tool, result["seconds"], seed
            )


def _route(
    folder: Path, commands: str, flags: Sequence[str], on_progress: Progress
) -> dict[str, Any]:
    """One seed in ``folder``, where the first one leaves the netlist for the others."""
    started = time.monotonic()
    if not (folder / _NETLIST).exists():
        (folder / "synth.ys").write_text(commands, encoding="utf-8")
        fpga.run_tool([fpga.tool("yosys"), "synth.ys"], folder, "yosys.log", started, on_progress)
    route = [fpga.tool("nextpnr-ecp5"), *flags, "--json", _NETLIST, "--report", "report.json"]
    fpga.run_tool(route, folder, "nextpnr.log", started, on_progress)
    mhz, used, path = parse(json.loads((folder / "report.json").read_text(encoding="utf-8")))
    return {
        "mhz": mhz,
        "used": used,
        "path": [asdict(step) for step in path],
        "seconds": round(time.monotonic() - started, 1),
    }
