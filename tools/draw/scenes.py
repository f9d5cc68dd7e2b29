"""What the timing diagrams show: signals of hne_top, and between which cycles.

The values come from a simulation (tools/draw/record_cocotb.py); here are only names. A value whose
``when`` is 0 means nothing and is drawn as such. A number in front of a bit is its place in a bus.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signal:
    """label: as drawn. path: below hne_top. when: path of the signal that makes it valid."""

    label: str
    path: str
    when: str = ""
    base: int = 16

    @property
    def clock(self) -> bool:
        return self.path == "clk_i"


@dataclass(frozen=True)
class Group:
    """Signals of one unit."""

    title: str
    signals: tuple[Signal, ...]


@dataclass(frozen=True)
class Scene:
    """name: of the files. title: above the picture."""

    name: str
    title: str
    groups: tuple[Group, ...]

    @property
    def signals(self) -> list[Signal]:
        return [signal for group in self.groups for signal in group.signals]


CLOCK = Group("", (Signal("clk", "clk_i"),))


def _bus(prefix: str, *names: str, when: str = "", base: int = 16) -> tuple[Signal, ...]:
    return tuple(
        Signal(name, f"{prefix}_{name}", f"{prefix}_{when}" if when else "", base) for name in names
    )


_WRITE = (
    Group(
        "address",
        (*_bus("s_axil", "awvalid", "awready"), *_bus("s_axil", "awaddr", when="awvalid")),
    ),
    Group("data", (*_bus("s_axil", "wvalid", "wready"), *_bus("s_axil", "wdata", when="wvalid"))),
    Group(
        "response",
        (*_bus("s_axil", "bvalid", "bready"), *_bus("s_axil", "bresp", when="bvalid", base=2)),
    ),
)
_READ = (
    Group(
        "address",
        (*_bus("s_axil", "arvalid", "arready"), *_bus("s_axil", "araddr", when="arvalid")),
    ),
    Group(
        "data",
        (
            *_bus("s_axil", "rvalid", "rready"),
            *_bus("s_axil", "rdata", when="rvalid"),
            *_bus("s_axil", "rresp", when="rvalid", base=2),
        ),
    ),
)
_IN = Group(
    "image in",
    (*_bus("s_axis", "tvalid", "tready"), *_bus("s_axis", "tdata", "tlast", when="tvalid")),
)
_OUT = Group(
    "logits out",
    (*_bus("m_axis", "tvalid", "tready"), *_bus("m_axis", "tdata", "tlast", when="tvalid")),
)
_CORE = "u_core"
_WEIGHTS = f"{_CORE}.u_weights"
_MAC = f"{_CORE}.u_mac"

SCENES = (
    Scene("axil-write", "AXI4-Lite: a write that is taken, one to a read-only register",
          (CLOCK, *_WRITE)),
    Scene("axil-read", "AXI4-Lite: a read, and one of an address that is not in the map",
          (CLOCK, *_READ)),
    Scene("stream-in", "AXI4-Stream in: first and last pixels; the engine waits for the source",
          (CLOCK, _IN)),
    Scene("stream-out", "AXI4-Stream out: four logits; the engine waits for the sink",
          (CLOCK, _OUT)),
    Scene(
        "start-done",
        "Start, an image, done and its interrupt",
        (
            CLOCK,
            Group("write", (*_bus("s_axil", "awvalid"), *_bus("s_axil", "awaddr", when="awvalid"),
                            *_bus("s_axil", "wdata", when="wvalid"))),
            Group("engine", (Signal("start", "start"), Signal("idle", "idle"))),
            Group("image in", (*_bus("s_axis", "tvalid", "tready"),
                               *_bus("s_axis", "tlast", when="tvalid"))),
            Group("logits out", (*_bus("m_axis", "tvalid", "tready"),
                                 *_bus("m_axis", "tlast", when="tvalid"))),
            Group("", (Signal("done", "done"), Signal("irq", "irq_o"))),
        ),
    ),
    Scene(
        "tile",
        "One tile: 9 columns of a row-tile of 2 channels, expanded; its first pixel tile, computed",
        (
            CLOCK,
            Group("sequencer", (Signal("load", f"{_CORE}.load"),)),
            Group(
                "index",
                (
                    Signal("enter", f"{_WEIGHTS}.u_index.enter"),
                    Signal("columns left", f"{_WEIGHTS}.u_index.behind_q",
                           f"{_WEIGHTS}.u_index.enter", 10),
                    Signal("valid", f"{_WEIGHTS}.valid"),
                    Signal("move", f"{_WEIGHTS}.move"),
                ),
            ),
            Group(
                "expander",
                (
                    Signal("valid", f"{_WEIGHTS}.u_expander.valid_q"),
                    Signal("grant", f"{_WEIGHTS}.u_expander.grant",
                           f"{_WEIGHTS}.u_expander.valid_q", 2),
                    Signal("conflict", f"{_WEIGHTS}.conflict_o"),
                ),
            ),
            Group(
                "tile buffer",
                (
                    Signal("write", f"{_CORE}.expanded"),
                    Signal("column", f"{_WEIGHTS}.u_tile.write_q", f"{_CORE}.expanded", 10),
                    Signal("last", f"{_CORE}.expanded_last", f"{_CORE}.expanded"),
                    Signal("halves full", f"{_MAC}.u_control.full_q", "", 10),
                ),
            ),
            Group(
                "array",
                (
                    Signal("issue", f"{_CORE}.issue"),
                    Signal("column", f"{_WEIGHTS}.u_tile.read_q", f"{_CORE}.issue", 10),
                    Signal("copy", f"{_MAC}.copy"),
                    Signal("shadow", f"{_MAC}.shadow_load"),
                ),
            ),
            Group(
                "post",
                (
                    Signal("active", f"{_MAC}.u_post.active_q"),
                    Signal("row", f"{_MAC}.u_post.row_q", f"{_MAC}.u_post.active_q", 10),
                    Signal("write", f"{_CORE}.map_write"),
                    Signal("line", f"{_CORE}.map_line", f"{_CORE}.map_write", 10),
                ),
            ),
        ),
    ),
)  # fmt: skip
