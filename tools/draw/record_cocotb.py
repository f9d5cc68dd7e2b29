"""Records the scenes from a simulation of hne_top: a cocotb test that writes WaveDrom JSON."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hwsim.bus.host import DONE, START
from hwsim.bus.registers import ADDRESS
from hwsim.engine.reference import run as oracle
from tests.rtl.bus import PROGRAM, TB, ready
from tests.rtl.samples import gradient_image
from tools.draw.scenes import SCENES, Scene, Signal
from tools.draw.wavedrom import wave

#: Folder that the JSON goes to.
TARGET = "HWSIM_WAVES"
#: Cycles around what a window is about.
BEFORE, AFTER = 1, 2

Row = dict[str, int]


class Recorder:
    """What every signal of the scenes was, cycle by cycle, as seen at the end of the cycle."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rows: list[Row] = []
        wanted = [s for scene in SCENES for s in scene.signals if not s.clock]
        paths = dict.fromkeys(p for s in wanted for p in (s.path, s.when) if p)
        self.handles = {path: self._handle(path) for path in paths}
        cocotb.start_soon(self._run())

    def _handle(self, path: str) -> Any:
        handle = self.dut
        for name in path.split("."):
            handle = getattr(handle, name)
        return handle

    async def _run(self) -> None:
        # A value that is read before the edge is the one that the edge acts upon.
        while True:
            await RisingEdge(self.dut.clk_i)
            self.rows.append({path: int(h.value) for path, h in self.handles.items()})
            await ReadOnly()

    @property
    def now(self) -> int:
        return len(self.rows)

    def when(self, path: str, start: int, value: int = 1) -> int:
        """The first cycle from ``start`` on in which a signal has this value."""
        return next(n for n in range(start, self.now) if self.rows[n][path] == value)


def write(scene: Scene, rows: list[Row], windows: Iterable[tuple[int, int]]) -> None:
    """One WaveDrom file; between two windows there is a gap."""
    parts = [rows[first:last] for first, last in windows]

    def values(signal: Signal) -> list[list[str]]:
        shown = []
        for part in parts:
            row = [
                "x" if signal.when and not one[signal.when] else _text(one[signal.path], signal)
                for one in part
            ]
            shown.append(row)
        return shown

    lanes: list[Any] = []
    for group in scene.groups:
        drawn = []
        for signal in group.signals:
            if signal.clock:
                drawn.append(
                    {
                        "name": signal.label,
                        "wave": "|".join("p" + "." * (len(p) - 1) for p in parts),
                    }
                )
            else:
                bits = max((row[signal.path] for row in rows), default=0) > 1 or signal.base != 16
                drawn.append({"name": signal.label, **wave(values(signal), bus=bits)})
        lanes.append([group.title, *drawn] if group.title else drawn[0])
        lanes += drawn[1:] if not group.title else []
    text = json.dumps({"head": {"text": scene.title}, "signal": lanes}, indent=1)
    (Path(os.environ[TARGET]) / f"{scene.name}.json").write_text(text + "\n", encoding="utf-8")


def _text(value: int, signal: Signal) -> str:
    if signal.base == 2:
        return f"{value:02b}"
    return f"{value:x}" if signal.base == 16 else str(value)


def scene(name: str) -> Scene:
    """By name."""
    return next(one for one in SCENES if one.name == name)


async def _single(tb: TB, recorder: Recorder, accesses: Iterable[Any], valid: str) -> int:
    """Accesses one after the other with a breath between; the cycle of the first."""
    start = recorder.now
    for access in accesses:
        await access
        await ClockCycles(tb.dut.clk_i, 3)
    return recorder.when(valid, start) - BEFORE


@cocotb.test()
async def the_scenes(dut: Any) -> None:
    """All of them, one after the other."""
    tb = await ready(dut)
    recorder = Recorder(dut)
    rows = recorder.rows
    await ClockCycles(dut.clk_i, 4)

    first = await _single(
        tb, recorder, (tb.write("IRQ_ENABLE", DONE), tb.write("ID", 1)), "s_axil_awvalid"
    )
    write(scene("axil-write"), rows, [(first, recorder.now - 1)])
    unknown = tb.bus.read(0x3C, 4)
    first = await _single(tb, recorder, (tb.read("VERSION"), unknown), "s_axil_arvalid")
    write(scene("axil-read"), rows, [(first, recorder.now - 1)])

    # An image whose source pauses, then logits whose sink does.
    image = gradient_image(3)
    start = recorder.now
    tb.source.set_pause_generator(itertools.cycle([0, 0, 0, 1]))
    tb.sink.set_pause_generator(itertools.cycle([0, 1, 1]))
    await tb.write("CONTROL", START)
    await tb.send(image)
    assert await tb.logits() == oracle(PROGRAM, image).logits
    await tb.idle()
    await tb.write("STATUS", DONE)
    await ClockCycles(dut.clk_i, 4)

    begin = recorder.when("s_axil_awvalid", start)
    taken = recorder.when("s_axis_tready", begin)
    end = recorder.when("u_core.load", taken)
    last_pixel = max(n for n in range(taken, end) if rows[n]["s_axis_tready"])
    logit = recorder.when("m_axis_tvalid", end)
    last_logit = recorder.when("m_axis_tlast", logit)
    gone = recorder.when("m_axis_tvalid", last_logit, 0)
    done = recorder.when("done", logit)
    clear = recorder.when("irq_o", recorder.when("irq_o", done), 0)
    write(scene("stream-in"), rows, [(taken - 2, taken + 9), (last_pixel - 5, last_pixel + 4)])
    write(scene("stream-out"), rows, [(logit - 2, gone + 2)])
    write(
        scene("start-done"),
        rows,
        [
            (begin - BEFORE, begin + 6),
            (taken - BEFORE, taken + 4),
            (last_pixel - 2, last_pixel + 3),
            (logit - BEFORE, logit + 3),
            (gone - 3, gone + 2),
            (done - 2, done + 4),
            (clear - 4, clear + AFTER),
        ],
    )
    load = recorder.when("u_core.load", end)
    stored = recorder.when("u_core.map_write", load)
    write(scene("tile"), rows, [(load - BEFORE, stored + 4)])
    assert ADDRESS["STATUS"] == rows[clear - 3]["s_axil_awaddr"] or clear > done
